import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  Client,
  credentials,
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
} from "@grpc/grpc-js";
import { expect } from "chai";
import { TokenBlacklist, WatchResponseSchema } from "../../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import type { ClientError } from "../../../src/client/client-error.ts";
import {
  MAX_REVISION_LENGTH,
  type WatchListener,
  WatchStream,
} from "../../../src/client/local-copy/watch-stream.ts";
import { serviceDefinition } from "../../../src/protobuf/service-definition.ts";
import { HASH_NAME } from "../../../src/token-index/fingerprint.ts";
import { until } from "../../support/until.ts";

const KEY = new Uint8Array(32).fill(7);
const TIME = { seconds: 1_900_000_000n, nanos: 5_000_000 };

type Response = NonNullable<MessageInitShape<typeof WatchResponseSchema>["response"]>;
const OPENED: Response = { case: "opened", value: { snapshot: true, hash: HASH_NAME, key: KEY } };

/** Columns of this many entries, numbered from 0. */
function entries(count: number, revision = ""): Response {
  const fingerprints = new Uint8Array(count * 16);
  const until = new Uint8Array(count * 8);
  for (let at = 0; at < count; at++) {
    new DataView(fingerprints.buffer).setInt32(at * 16, at, true);
    new DataView(until.buffer).setUint32(at * 8, at, true);
    new DataView(until.buffer).setUint32(at * 8 + 4, 1, true);
  }
  return { case: "entries", value: { fingerprints, until, revision } };
}

describe("WatchStream", () => {
  let server: Server;
  let grpc: Client;
  let stream: WatchStream | undefined;
  /** The stream's messages to its listener, in order. */
  let told: unknown[];
  let ended: ClientError | undefined;
  let received: unknown[];
  /** The time at which the listener cancels. */
  let endAtTime: number | undefined;

  beforeEach(() => {
    [told, received, ended, stream, endAtTime] = [[], [], undefined, undefined, undefined];
  });

  afterEach(() => {
    grpc.close();
    server.forceShutdown();
  });

  /** Opens a stream to a server that sends these messages, each made of these fields. */
  async function hear(...messages: MessageInitShape<typeof WatchResponseSchema>[]): Promise<void> {
    server = new Server();
    server.addService(serviceDefinition(TokenBlacklist), {
      watch(call: ServerDuplexStream<{ request: unknown }, object>) {
        call.on("data", ({ request }) => received.push(request));
        call.on("error", () => {});
        for (const message of messages) call.write(create(WatchResponseSchema, message));
      },
    });
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
        error ? reject(error) : resolve(bound),
      );
    });
    grpc = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
    const listener: WatchListener = {
      onTime(time) {
        told.push(["time", time]);
        if (endAtTime === time) stream?.cancel({ code: "RESOURCE_EXHAUSTED" } as ClientError);
      },
      onOpened: ({ isSnapshot, fingerprintKey }) =>
        void told.push(["opened", isSnapshot, fingerprintKey.length]),
      onEntry: (fingerprint, time) => void told.push(["entry", fingerprint[0], time]),
      onRevision: (revision) => void told.push(["revision", revision]),
      onSynced: (id) => void told.push(["synced", id]),
      onUnsynced: (id, { code, reason }) => void told.push(["unsynced", id, code, reason]),
      onEnd(error) {
        ended = error;
        told.push(["end"]);
      },
    };
    const cursor = { revision: "5-0123456789abcdef", fingerprintKey: KEY };
    stream = new WatchStream(grpc, { cursor, metadata: new Metadata(), listener });
  }

  const withoutTimes = () => told.filter((one) => (one as unknown[])[0] !== "time");

  it("begins with the copy's position and supported features, and requests proof", async () => {
    await hear();
    stream?.sync(3n);
    await until(() => received.length === 2, { withinMs: 5000, what: "both messages arrive" });
    expect(
      received.map((request) =>
        JSON.parse(JSON.stringify(request, (_, value) => (typeof value === "bigint" ? `${value}` : value))),
      ),
    ).to.deep.equal([
      {
        case: "start",
        value: {
          $typeName: "tokenblacklist.v1.WatchRequest.Start",
          revision: "5-0123456789abcdef",
          entryKinds: [1],
          key: Buffer.from(KEY).toJSON(),
        },
      },
      { case: "sync", value: { $typeName: "tokenblacklist.v1.WatchRequest.Sync", id: "3" } },
    ]);
  });

  it("delivers all messages in order, however many there are", async () => {
    const count = 12_345;
    await hear(
      { time: TIME, response: OPENED },
      { time: TIME, response: entries(count, "6-0123456789abcdef") },
      { time: TIME, response: { case: "synced", value: { id: 3n, revision: "6-0123456789abcdef" } } },
      { time: TIME, response: { case: "heartbeat", value: {} } },
      { time: TIME, response: entries(0, "7-0123456789abcdef") },
      { time: TIME, response: { case: "unsynced", value: { id: 4n, reason: "STORE_UNAVAILABLE" } } },
    );
    await until(() => told.length >= count + 11, { withinMs: 5000, what: "all messages are delivered" });
    expect([
      withoutTimes().filter((one) => (one as unknown[])[0] !== "entry"),
      told.filter((one) => (one as unknown[])[0] === "entry"),
      told[0],
      ended,
    ]).to.deep.equal([
      [
        ["opened", true, 32],
        ["revision", "6-0123456789abcdef"],
        ["synced", 3n],
        ["revision", "7-0123456789abcdef"],
        ["unsynced", 4n, "UNAVAILABLE", "STORE_UNAVAILABLE"],
      ],
      Array.from({ length: count }, (_, at) => ["entry", at, at + 2 ** 32]),
      ["time", 1_900_000_000_005],
      undefined,
    ]);
  });

  const lopsided = entries(3);
  if (lopsided.case === "entries" && lopsided.value?.until)
    lopsided.value.until = lopsided.value.until.subarray(8);
  const UNBELIEVABLE: Record<string, MessageInitShape<typeof WatchResponseSchema>[]> = {
    "a message without a time": [{ response: OPENED }],
    "an unknown hash": [
      { time: TIME, response: { case: "opened", value: { snapshot: true, hash: "md5", key: KEY } } },
    ],
    "entries before the opening message": [{ time: TIME, response: entries(1, "6-0123456789abcdef") }],
    "columns of different lengths": [
      { time: TIME, response: OPENED },
      { time: TIME, response: lopsided },
    ],
    "a revision above the maximum length": [
      { time: TIME, response: OPENED },
      { time: TIME, response: entries(1, "6".repeat(MAX_REVISION_LENGTH + 1)) },
    ],
    "an unknown kind of message": [{ time: TIME }],
  };
  for (const [what, messages] of Object.entries(UNBELIEVABLE)) {
    it(`ends at ${what}, and delivers nothing after it`, async () => {
      const after = { time: TIME, response: { case: "synced" as const, value: { id: 1n, revision: "x" } } };
      await hear(...messages, after);
      await until(() => ended !== undefined, { withinMs: 5000, what: "the stream ends" });
      // Everything in flight has arrived once the server has seen the end.
      await until(() => received.length > 0, { withinMs: 5000, what: "the start has arrived" });
      expect([["INTERNAL", "UNIMPLEMENTED"].includes(ended?.code ?? ""), told.at(-1)]).to.deep.equal([
        true,
        ["end"],
      ]);
      expect(
        withoutTimes().some((one) => ["synced", "revision"].includes((one as string[])[0] ?? "")),
      ).to.equal(false);
    });
  }

  it("delivers nothing of a message at whose time it was cancelled", async () => {
    endAtTime = 1_900_000_000_005;
    await hear({ time: TIME, response: OPENED }, { time: TIME, response: entries(1, "6-0123456789abcdef") });
    await until(() => ended !== undefined, { withinMs: 5000, what: "the stream ends" });
    expect(withoutTimes()).to.deep.equal([["end"]]);
  });

  it("ends once when it is cancelled, and sends nothing more", async () => {
    await hear({ time: TIME, response: OPENED });
    await until(() => withoutTimes().length === 1, { withinMs: 5000, what: "the stream is open" });
    const error = { code: "CANCELLED" } as ClientError;
    stream?.cancel(error);
    stream?.cancel({ code: "INTERNAL" } as ClientError);
    stream?.sync(1n);
    expect([withoutTimes(), ended]).to.deep.equal([[["opened", true, 32], ["end"]], error]);
  });
});
