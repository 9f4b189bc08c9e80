import { expect } from "chai";
import { Verdict } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import type { RpcClient } from "../../src/client/rpc-client.ts";
import { migrate } from "../../src/start/migrate.ts";
import { parseDatabaseUrl } from "../../src/store/database-url.ts";
import { backends } from "../support/backends.ts";
import type { PrivateMariadb } from "../support/mariadb.ts";
import { ownMariadb } from "../support/own-mariadb.ts";
import { type ServiceProcess, serveProcess } from "../support/service-process.ts";
import { until } from "../support/until.ts";

const expiresAt = { seconds: BigInt(Math.floor(Date.now() / 1000) + 3600), nanos: 0 };

const revoke = (client: RpcClient, jti: string) =>
  client.blacklist({ tokens: [{ token: { case: "jti", value: jti }, expiresAt }] }, { timeoutMs: 5000 });

/** Eight callers that revoke as fast as possible until stopped, recording acknowledged entries. */
function startWriting(client: RpcClient, prefix: string, acknowledged: string[]): () => Promise<void> {
  let stopped = false;
  const callers = Array.from({ length: 8 }, async (_, caller) => {
    for (let count = 0; !stopped; count++) {
      const jti = `${prefix}-${caller}-${count}`;
      await revoke(client, jti).then(
        () => acknowledged.push(jti),
        () => {},
      );
    }
  });
  return async () => {
    stopped = true;
    await Promise.all(callers);
  };
}

/** The acknowledged entries that the service does not know. */
async function forgotten(client: RpcClient, acknowledged: readonly string[]): Promise<string[]> {
  const missing: string[] = [];
  for (let from = 0; from < acknowledged.length; from += 1000) {
    const jtis = acknowledged.slice(from, from + 1000);
    const { verdicts } = await client.isBlacklisted({ jtis });
    missing.push(...jtis.filter((_, index) => verdicts[index] !== Verdict.BLACKLISTED));
  }
  return missing;
}

describe("a service killed during writes", function () {
  this.timeout(120_000);

  for (const backend of backends) {
    it(`has lost no acknowledged entry, repeatedly (${backend.name})`, async () => {
      const database = await backend.create();
      const address = parseDatabaseUrl(database.url);
      if (address.kind === "mysql") await migrate("up", address, () => {});
      const acknowledged: string[] = [];
      let service: ServiceProcess | undefined;
      try {
        for (let round = 0; round < 4; round++) {
          service = await serveProcess({ DATABASE_URL: database.url });
          expect(await forgotten(service.client, acknowledged)).to.deep.equal([]);
          const target = acknowledged.length + 150;
          const stop = startWriting(service.client, `round ${round}`, acknowledged);
          await until(() => acknowledged.length >= target, {
            withinMs: 20_000,
            what: "150 more are acknowledged",
          });
          await service.process.kill();
          await stop();
          service.client.close();
        }
        service = await serveProcess({ DATABASE_URL: database.url });
        expect(await forgotten(service.client, acknowledged)).to.deep.equal([]);
      } finally {
        await service?.kill();
        await database.dispose();
      }
    });
  }
});

describe("services beside a failing database or replica", function () {
  this.timeout(120_000);
  let server: PrivateMariadb;
  let url: string;
  let replicas: ServiceProcess[];

  before(async function () {
    server = await ownMariadb(this);
  });

  after(async () => {
    await server?.stop();
  });

  beforeEach(async () => {
    ({ url } = await server.createDatabase());
    await migrate("up", parseDatabaseUrl(url), () => {});
    replicas = await Promise.all([serveProcess({ DATABASE_URL: url }), serveProcess({ DATABASE_URL: url })]);
  });

  afterEach(async () => {
    await Promise.all(replicas.map((replica) => replica.kill()));
  });

  it("lose no acknowledged entry when the database is killed, and respond within two seconds of its return", async () => {
    const [{ client }] = replicas as [ServiceProcess];
    const acknowledged: string[] = [];
    for (let round = 0; round < 3; round++) {
      const target = acknowledged.length + 150;
      const stop = startWriting(client, `round ${round}`, acknowledged);
      await until(() => acknowledged.length >= target, {
        withinMs: 20_000,
        what: "150 more are acknowledged",
      });
      await server.kill("SIGKILL");
      const refused = await client
        .isBlacklisted({ jtis: ["anything"] })
        .catch((error: { code: string }) => error.code);
      await stop();
      expect(refused).to.equal("UNAVAILABLE");
      await server.restart();
      const answers = () =>
        client.isBlacklisted({ jtis: ["anything"] }).then(
          () => true,
          () => false,
        );
      await until(answers, { withinMs: 2000, what: "checks are answered again" });
      expect(await forgotten(client, acknowledged)).to.deep.equal([]);
    }
  });

  it("resume writing within a second when another replica stops in the middle of a write", async () => {
    const [stopping, other] = replicas as [ServiceProcess, ServiceProcess];
    const stop = startWriting(stopping.client, "stopping", []);
    let worst = 0;
    for (let round = 0; round < 15; round++) {
      await revoke(stopping.client, `in between ${round}`);
      await stopping.process.signal("SIGSTOP");
      const began = performance.now();
      await revoke(other.client, `other ${round}`);
      worst = Math.max(worst, performance.now() - began);
      await stopping.process.signal("SIGCONT");
    }
    await stop();
    expect(worst).to.be.below(1000);
  });
});
