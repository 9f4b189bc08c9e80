import { expect } from "chai";
import { Verdict } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import type { BlacklistClient } from "../../src/client/blacklist-client.ts";
import { connect } from "../../src/client/connect.ts";
import { type RunningService, startService } from "../support/service.ts";
import { freshFolder } from "../support/shared.ts";
import { unsignedJwt } from "../support/unsigned-jwt.ts";
import { until } from "../support/until.ts";
import { failure } from "./failure.ts";
import { type ScriptedService, startScripted } from "./scripted-service.ts";

const EXPIRES = new Date(Date.UTC(2035, 0, 1));
const RAW = unsignedJwt({ jti: "j", note: "c4n4ry" });
const SPELLINGS = [RAW, `Bearer ${RAW}`, ` ${RAW}\n`, unsignedJwt({ note: "c4n4ry".repeat(100) })];
const ITSELF = "must be a token's jti claim, not the token itself";

/** The violation of a call, which must name the problem without repeating the token. */
async function refusal(call: Promise<unknown>): Promise<unknown> {
  const { code, reason, violations, message } = await failure(call);
  expect({ code, reason }).to.deep.equal({ code: "INVALID_ARGUMENT", reason: "INVALID_REQUEST" });
  expect(message).not.to.include("eyJ");
  return violations.map(({ field, description }) => [field, description]);
}

async function refusals(client: BlacklistClient, raw: string): Promise<unknown[]> {
  return [
    await refusal(client.isBlacklisted(raw)),
    await refusal(client.isBlacklisted(raw, { maxStalenessMs: 60_000 })),
    await refusal(client.areBlacklisted(["a", raw])),
    await refusal(client.blacklist([{ jti: raw, expiresAt: EXPIRES }])),
    client.peek(raw),
    client.peek(raw, { maxStalenessMs: 60_000 }),
  ];
}

const REFUSED = [
  [["jti", ITSELF]],
  [["jti", ITSELF]],
  [["jtis[1]", ITSELF]],
  [["tokens[0].jti", ITSELF]],
  undefined,
  undefined,
];

describe("a raw token that is passed to the client library as a jti", () => {
  const clients: BlacklistClient[] = [];
  let scripted: ScriptedService | undefined;
  let running: RunningService | undefined;

  afterEach(async () => {
    for (const client of clients.splice(0)) client.close();
    scripted?.stop();
    await running?.stop();
    [scripted, running] = [undefined, undefined];
  });

  function opened(options: Parameters<typeof connect>[0]): BlacklistClient {
    const client = connect(options);
    clients.push(client);
    return client;
  }

  it("is refused before anything is sent, for any onUnavailable", async () => {
    scripted = await startScripted({
      isBlacklisted: ({ jtis }) => ({ verdicts: jtis.map(() => Verdict.NOT_BLACKLISTED), revision: "r" }),
    });
    for (const onUnavailable of ["throw", "allow", "deny"] as const) {
      const client = opened({ address: scripted.address, onUnavailable });
      for (const raw of SPELLINGS) expect(await refusals(client, raw)).to.deep.equal(REFUSED);
    }
    expect({ calls: scripted.calls.length, streams: scripted.streams.begun }).to.deep.equal({
      calls: 0,
      streams: 0,
    });
  });

  it("is refused by a copy, too, without a verdict", async () => {
    running = await startService({ url: `sqlite:${await freshFolder()}/x.db`, env: { INDEX: "on" } });
    // Stored as by an older version, so that the copy contains it.
    const tokens = [{ token: { case: "jti" as const, value: RAW }, expiresAt: { seconds: 4_102_444_800n } }];
    await running.client.blacklist({ tokens, allowRawTokensAsJtis: true });
    const client = opened({ address: running.address, mode: "local" });
    await until(() => client.state === "ready", { withinMs: 10_000, what: "the copy is ready" });
    for (const raw of SPELLINGS) expect(await refusals(client, raw)).to.deep.equal(REFUSED);
    expect([await client.isBlacklisted("j"), client.peek("j", { maxStalenessMs: 60_000 })]).to.deep.equal([
      false,
      false,
    ]);
  });

  it("can still be listed among the entries of older versions", async () => {
    running = await startService({ url: `sqlite:${await freshFolder()}/x.db` });
    const tokens = [{ token: { case: "jti" as const, value: RAW }, expiresAt: { seconds: 4_102_444_800n } }];
    await running.client.blacklist({ tokens, allowRawTokensAsJtis: true });
    const client = opened({ address: running.address });
    const listed = [];
    for await (const { jti } of client.list({ jtis: [RAW] })) listed.push(jti);
    expect(listed).to.deep.equal([RAW]);
    const other = client.list({ jtis: [unsignedJwt({ jti: "k" })] })[Symbol.asyncIterator]();
    expect(await refusal(other.next())).to.deep.equal([["jtis[0]", ITSELF]]);
  });

  it("is one of at most 100 that can be revoked with one call", async () => {
    scripted = await startScripted({});
    const client = opened({ address: scripted.address });
    const tokens = Array.from({ length: 101 }, () => ({ jwt: "a.b.c" }));
    expect(await refusal(client.blacklist(tokens))).to.deep.equal([
      ["tokens", "must hold at most 100 jwts: revoke the others with further calls"],
    ]);
  });
});
