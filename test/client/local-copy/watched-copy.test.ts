import { create } from "@bufbuild/protobuf";
import { Client, credentials, Server, ServerCredentials, type ServerDuplexStream } from "@grpc/grpc-js";
import { expect } from "chai";
import { TokenBlacklist, WatchResponseSchema } from "../../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import type { ClientState } from "../../../src/client/client-state.ts";
import { MAX_COPY_TABLES, WatchedCopy } from "../../../src/client/local-copy/watched-copy.ts";
import { INDEX_RETRY_MS } from "../../../src/limits.ts";
import { serviceDefinition } from "../../../src/protobuf/service-definition.ts";
import { HASH_NAME } from "../../../src/token-index/fingerprint.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { until } from "../../support/until.ts";

const TIME = { seconds: 1_893_456_000n };

describe("a copy that is fed by a service", () => {
  let server: Server;
  let grpc: Client;
  let clock: FakeClock;
  let copy: WatchedCopy;
  let warnings: string[];
  let states: ClientState[];
  let streams: number;

  /** Each stream is passed to `feed`. */
  async function fedBy(feed: (call: ServerDuplexStream<object, object>) => void): Promise<void> {
    [clock, warnings, states, streams] = [new FakeClock(), [], [], 0];
    server = new Server();
    server.addService(serviceDefinition(TokenBlacklist), {
      watch(call: ServerDuplexStream<object, object>) {
        streams++;
        call.on("error", () => {});
        call.on("data", () => {});
        feed(call);
      },
    });
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
        error ? reject(error) : resolve(bound),
      );
    });
    grpc = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
    copy = new WatchedCopy({
      ...{ grpc, authorization: undefined, clock, maxEntries: 1000, random: () => 0, metrics: {} },
      log: { debug() {}, info() {}, warn: (text: string) => void warnings.push(text), error() {} } as never,
      onState: (state) => void states.push(state),
    });
  }

  afterEach(() => {
    copy?.close();
    grpc?.close();
    server?.forceShutdown();
  });

  it("is dropped, with one log line, if the service announces new keys repeatedly, and retried much later", async () => {
    let sent = 0;
    await fedBy((call) => {
      const next = () => {
        if (call.cancelled || sent > 10_000) return;
        sent++;
        const key = new Uint8Array(32);
        new DataView(key.buffer).setUint32(0, sent);
        const entry = { fingerprints: key.slice(0, 16), until: Uint8Array.of(0, 0, 0, 0, 0, 4, 0, 0) };
        for (const response of [
          { case: "opened" as const, value: { snapshot: true, hash: HASH_NAME, key } },
          { case: "entries" as const, value: { ...entry, revision: `${sent}-0123456789abcdef` } },
        ]) {
          call.write(create(WatchResponseSchema, { time: TIME, response }));
        }
        setImmediate(next);
      };
      next();
    });
    await until(() => states.at(-1) === "unavailable", { withinMs: 10_000, what: "the copy is dropped" });
    expect({ warned: warnings.length, complete: copy.isComplete, ended: states.at(-1) }).to.deep.equal({
      warned: 1,
      complete: false,
      ended: "unavailable",
    });
    expect(warnings[0]).to.match(/changed its fingerprint key too often/);
    clock.advance(INDEX_RETRY_MS - 1);
    expect(streams).to.equal(1);
    clock.advance(1);
    await until(() => streams === 2, { withinMs: 5000, what: "the copy is retried" });
  });

  it("survives any number of replaced databases, and keeps the revocations of each", async () => {
    await fedBy((call) => {
      for (let at = 1; at <= MAX_COPY_TABLES; at++) {
        const key = new Uint8Array(32).fill(at);
        const entry = { fingerprints: key.slice(0, 16), until: Uint8Array.of(0, 0, 0, 0, 0, 4, 0, 0) };
        for (const response of [
          { case: "opened" as const, value: { snapshot: true, hash: HASH_NAME, key } },
          { case: "entries" as const, value: { ...entry, revision: `${at}-0123456789abcdef` } },
        ]) {
          call.write(create(WatchResponseSchema, { time: TIME, response }));
        }
      }
    });
    const last = `${MAX_COPY_TABLES}-0123456789abcdef`;
    await until(() => copy.reflects(last), { withinMs: 5000, what: "the last revocation has arrived" });
    expect({ warnings, complete: copy.isComplete }).to.deep.equal({ warnings: [], complete: true });
  });
});
