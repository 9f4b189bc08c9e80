import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { expect } from "chai";
import { ServiceError } from "../../src/errors.ts";
import { parseDatabaseUrl } from "../../src/store/database-url.ts";
import type { Engine } from "../../src/store/engine.ts";
import { openEngine, openStore } from "../../src/store/open-store.ts";
import { systemClock } from "../../src/time/clock.ts";
import { rejection } from "../support/rejection.ts";
import { freshDatabase } from "../support/shared.ts";
import { entry, expiryContext } from "./open-test-store.ts";

const CANARY = "canary-of-the-driver";

const USED = "the database cannot be used at the moment";
const REACHED = "the database cannot be reached at the moment";
const WRITES = "the database takes no writes at the moment";

/** The servers' errors, by number and SQLSTATE, grouped by cause. */
const UNAVAILABLE: Record<string, readonly (readonly [errno: number, sqlState: string])[]> = {
  "an account's limits": [
    [1226, "42000"],
    [1203, "42000"],
  ],
  "the server's resources": [
    ...([1020, 1021, 1026, 1028, 1030, 1034, 1035, 1037, 1038, 1041, 1105, 1114, 1135, 1194] as const).map(
      (errno) => [errno, "HY000"] as const,
    ),
    [1040, "08004"],
    [1104, "42000"],
    [1153, "08S01"],
    [1154, "08S01"],
    [1197, "HY000"],
    [1206, "HY000"],
    [1301, "HY000"],
    [1436, "HY000"],
    [1461, "42000"],
    [3170, "HY000"],
  ],
  "a timeout or a killed statement": [
    [1158, "08S01"],
    [1159, "08S01"],
    [1160, "08S01"],
    [1161, "08S01"],
    [1205, "HY000"],
    [1317, "70100"],
    [1927, "70100"],
    [1969, "70100"],
    [3024, "HY000"],
    [4031, "HY000"],
  ],
  access: [
    [1044, "42000"],
    [1045, "28000"],
    [1130, "HY000"],
    [1142, "42000"],
    [1143, "42000"],
    [1227, "42000"],
    [1251, "08004"],
    [1370, "42000"],
    [1524, "HY000"],
    [1698, "28000"],
    [1820, "HY000"],
    [1862, "HY000"],
    [3118, "HY000"],
    [3159, "HY000"],
    [3955, "HY000"],
    [4151, "HY000"],
  ],
  "missing or different tables, columns and databases": [
    [1046, "3D000"],
    [1049, "42000"],
    [1051, "42S02"],
    [1054, "42S22"],
    [1109, "42S02"],
    [1146, "42S02"],
    [1176, "42000"],
    [1243, "HY000"],
    [1305, "42000"],
    [1356, "HY000"],
    [1412, "HY000"],
    [1615, "HY000"],
    [1815, "HY000"],
    [1932, "42S02"],
  ],
  "a rolled back transaction": [
    [1062, "23000"],
    [1180, "HY000"],
    [1213, "40001"],
    [1586, "23000"],
    [1613, "XA106"],
    [3101, "40000"],
    [3572, "HY000"],
  ],
  "a server that starts, stops or has no quorum": [
    [1047, "08S01"],
    [1053, "08S01"],
    [1080, "08S01"],
    [1193, "HY000"],
    [3169, "HY000"],
  ],
  "an unknown error number": [
    [9999, "42000"],
    [9998, "22000"],
    [9997, "23000"],
    [60000, "HY000"],
  ],
};

const REFUSED: readonly (readonly [number, string])[] = [
  [1036, "HY000"],
  [1290, "HY000"],
  [1792, "25006"],
  [1836, "HY000"],
  [1874, "HY000"],
];

const FAULTS: readonly (readonly [number, string])[] = [
  [1064, "42000"],
  [1149, "42000"],
  [1136, "21S01"],
  [1242, "21000"],
  [1264, "22003"],
  [1292, "22007"],
  [1366, "22007"],
  [1390, "HY000"],
  [1406, "22001"],
  [1690, "22003"],
  [3819, "HY000"],
  [4025, "23000"],
];

describe("an error of MySQL or MariaDB", () => {
  let url: string;
  let dispose: () => Promise<void>;
  let engine: Engine;

  before(async () => {
    ({ url, dispose } = await freshDatabase());
    engine = openEngine(parseDatabaseUrl(url));
  });

  after(async () => {
    await engine?.close();
    await dispose?.();
  });

  /** The error of the store for this error of the server. */
  function said([errno, sqlState]: readonly [number, string]): Promise<unknown> {
    const signal = `SIGNAL SQLSTATE '${sqlState}' SET MYSQL_ERRNO = ${errno}, MESSAGE_TEXT = '${CANARY}'`;
    return rejection(engine.select(signal));
  }

  const summary = (error: unknown) =>
    error instanceof ServiceError
      ? [error.reason, error.message, (error.cause as { errno?: number }).errno]
      : "the statement's fault";

  for (const [what, errors] of Object.entries(UNAVAILABLE)) {
    it(`makes the database unavailable if the cause is ${what}, with any SQLSTATE`, async () => {
      for (const error of errors) {
        expect(summary(await said(error)), `${error}`).to.deep.equal(["STORE_UNAVAILABLE", USED, error[0]]);
      }
    });
  }

  it("makes it unavailable for writes if the server does not accept any", async () => {
    for (const error of REFUSED) {
      expect(summary(await said(error)), `${error}`).to.deep.equal(["STORE_UNAVAILABLE", WRITES, error[0]]);
    }
  });

  it("is the fault of the statement if the statement or its data is invalid, and only then", async () => {
    for (const error of FAULTS) {
      expect(summary(await said(error)), `${error}`).to.equal("the statement's fault");
    }
    const wrong = ["SELEKT 1", "SELECT", "SELECT (SELECT 1 UNION SELECT 2)"];
    for (const sql of wrong) {
      expect(summary(await rejection(engine.select(sql))), sql).to.equal("the statement's fault");
    }
  });
});

describe("an error of MySQL's driver", () => {
  let server: Server;
  let answer: (socket: Socket) => void;
  const sockets = new Set<Socket>();

  before(async () => {
    server = createServer((socket) => {
      sockets.add(socket.on("error", () => {}));
      answer(socket);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
  });

  after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });

  const WAYS: Record<string, (socket: Socket) => void> = {
    "does not speak MySQL": (socket) => void socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"),
    "disconnects at once": (socket) => void socket.end(),
    "resets the connection": (socket) => void socket.resetAndDestroy(),
    "disconnects within its greeting": (socket) => void socket.end(Buffer.from([0x4a, 0, 0, 0, 0x0a])),
    "sends an error as its greeting": (socket) =>
      void socket.end(Buffer.concat([Buffer.from([23, 0, 0, 0, 0xff, 0x10, 0x04]), Buffer.from(CANARY)])),
    "has another version of the protocol": (socket) =>
      void socket.end(Buffer.concat([Buffer.from([6, 0, 0, 0, 0x63]), Buffer.from("other")])),
  };

  for (const [what, way] of Object.entries(WAYS)) {
    it(`makes the database unavailable if the server at the address ${what}`, async () => {
      answer = way;
      const { port } = server.address() as AddressInfo;
      const url = `mysql://root@127.0.0.1:${port}/nothing`;
      const store = openStore(parseDatabaseUrl(url), { clock: systemClock, leewayMs: 0 });
      const engine = openEngine(parseDatabaseUrl(url));
      try {
        const failed = [
          store.open(),
          store.read([]),
          store.write([entry("a")], expiryContext()),
          engine.select("SELECT 1"),
          engine.write([entry("a")], expiryContext(), "00"),
        ];
        for (const error of await Promise.all(failed.map(rejection))) {
          expect(error).to.include({ reason: "STORE_UNAVAILABLE" });
          expect((error as Error).message).to.be.oneOf([USED, REACHED]);
        }
      } finally {
        await Promise.all([store.close(), engine.close()]);
      }
    });
  }
});
