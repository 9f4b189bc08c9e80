import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { create } from "@bufbuild/protobuf";
import { expect } from "chai";
import {
  BlacklistResponseSchema,
  IsBlacklistedResponseSchema,
  ListResponseSchema,
  BlacklistResult_Outcome as Outcome,
  PruneResponseSchema,
  Verdict,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { createRpcClient, type RpcClient } from "../../src/client/rpc-client.ts";
import { freePort } from "../support/free-port.ts";
import { failure } from "./failure.ts";
import { type Script, type ScriptedService, startScripted } from "./scripted-service.ts";

describe("the client", () => {
  let service: ScriptedService | undefined;
  let client: RpcClient | undefined;

  async function connected(script: Script): Promise<RpcClient> {
    service = await startScripted(script);
    client = createRpcClient({ address: service.address });
    return client;
  }

  afterEach(() => {
    client?.close();
    service?.stop();
  });

  it("returns the service's response to each of its calls", async () => {
    const expiresAt = { seconds: 1_900_000_000n, nanos: 5_000_000 };
    const stored = { token: { jti: "a", expiresAt }, outcome: Outcome.CREATED };
    const { blacklist, isBlacklisted, list, prune } = await connected({
      blacklist: () => ({ results: [stored], revision: "r1" }),
      isBlacklisted: () => ({ verdicts: [Verdict.BLACKLISTED, Verdict.UNKNOWN], revision: "r2" }),
      list: () => ({ tokens: [{ jti: "a" }], nextPageToken: "next" }),
      prune: () => ({ prunedCount: 3, hasMore: true }),
    });
    expect([
      await blacklist({ tokens: [{ token: { case: "jti", value: "a" }, expiresAt }] }),
      await isBlacklisted({ jtis: ["a", "b"] }),
      await list({}),
      await prune({}),
    ]).to.deep.equal([
      create(BlacklistResponseSchema, { results: [stored], revision: "r1" }),
      create(IsBlacklistedResponseSchema, {
        verdicts: [Verdict.BLACKLISTED, Verdict.UNKNOWN],
        revision: "r2",
      }),
      create(ListResponseSchema, { tokens: [{ jti: "a" }], nextPageToken: "next" }),
      create(PruneResponseSchema, { prunedCount: 3, hasMore: true }),
    ]);
  });

  it("refuses ill-formed text in any field, names every such field, and sends nothing", async () => {
    const { blacklist, isBlacklisted, list } = await connected({});
    const violations = async (call: Promise<unknown>) => {
      const { code, reason, violations } = await failure(call);
      return { code, reason, fields: violations.map(({ field }) => field) };
    };
    const refused = { code: "INVALID_ARGUMENT", reason: "INVALID_REQUEST" };
    expect([
      await violations(
        blacklist({
          tokens: [
            { token: { case: "jti", value: "fine" }, reason: "\udc00" },
            { token: { case: "jti", value: "\ud800" } },
            { token: { case: "jwt", value: "a\ud800b" } },
          ],
        }),
      ),
      await violations(
        isBlacklisted({ jtis: ["\ud800"], freshness: { case: "atLeastRevision", value: "\ud800" } }),
      ),
      await violations(list({ pageToken: "\ud800", revokedBy: "\ud800", jtis: ["😀", "\ud83d"] })),
    ]).to.deep.equal([
      { ...refused, fields: ["tokens[0].reason", "tokens[1].jti", "tokens[2].jwt"] },
      { ...refused, fields: ["jtis[0]", "at_least_revision"] },
      { ...refused, fields: ["page_token", "revoked_by", "jtis[1]"] },
    ]);
    expect(service?.calls).to.deep.equal([]);
  });

  it("refuses a number outside its field's range, and sends nothing", async () => {
    const { prune } = await connected({});
    const { code, reason } = await failure(prune({ maxCount: 2 ** 31 }));
    expect({ code, reason }).to.deep.equal({ code: "INVALID_ARGUMENT", reason: "INVALID_REQUEST" });
    expect(service?.calls).to.deep.equal([]);
  });

  it("times out", async () => {
    const { list } = await connected({ list: () => new Promise(() => {}) });
    const { code, reason } = await failure(list({}, { timeoutMs: 50 }));
    expect({ code, reason }).to.deep.equal({ code: "DEADLINE_EXCEEDED", reason: undefined });
  });

  it("cancels the call at the service when its signal is aborted", async () => {
    const abort = new AbortController();
    let told = () => {};
    const cancelled = new Promise<void>((resolve) => {
      told = resolve;
    });
    const { list } = await connected({
      list: async (_, call) => {
        const end = call.cancelled();
        abort.abort();
        await end;
        told();
        return {};
      },
    });
    const { code } = await failure(list({}, { signal: abort.signal }));
    await cancelled;
    expect(code).to.equal("CANCELLED");
  });

  it("sends nothing when its signal was aborted before", async () => {
    const { list } = await connected({});
    const { code } = await failure(list({}, { signal: AbortSignal.abort() }));
    expect({ code, calls: service?.calls }).to.deep.equal({ code: "CANCELLED", calls: [] });
  });

  it("fails with UNAVAILABLE, without a reason of the service, if nothing listens", async () => {
    client = createRpcClient({ address: `127.0.0.1:${await freePort()}` });
    const { code, reason, connection } = await failure(client.list({}));
    expect({ code, reason, connection }).to.deep.equal({
      code: "UNAVAILABLE",
      reason: undefined,
      connection: "refused",
    });
  });

  it("releases its connection when it is closed", async () => {
    const server = createServer();
    const ended = new Promise((resolve) => server.on("session", (session) => session.on("close", resolve)));
    server.on("stream", (stream) => {
      stream.respond({ "content-type": "application/grpc", "grpc-status": 12 }, { endStream: true });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const { list, close } = createRpcClient({ address: `127.0.0.1:${port}` });
    const { code } = await failure(list({}));
    close();
    await ended;
    server.close();
    expect(code).to.equal("UNIMPLEMENTED");
  });
});
