import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { expect } from "chai";
import {
  BlacklistResult_Outcome as Outcome,
  TokenToBlacklistSchema,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { UNKNOWN_KEY_RELOAD_MS } from "../../src/auth/jwks-cache.ts";
import { createSigningKey, KeyServer, keySetOf, type SigningKey, signToken } from "../support/issuer.ts";
import { rejection } from "../support/rejection.ts";
import { type RunningService, startService } from "../support/service.ts";
import { freshFolder } from "../support/shared.ts";
import { until } from "../support/until.ts";

const ISSUER = "https://id.test";

describe("logouts during a key rotation", () => {
  let old: SigningKey;
  let server: KeyServer;
  let running: RunningService;

  beforeEach(async () => {
    old = await createSigningKey("k1");
    server = await KeyServer.start(old);
    running = await startService({
      url: `sqlite:${join(await freshFolder(), "token-blacklist.db")}`,
      env: { TOKEN_ISSUERS: `${ISSUER}=${server.url}` },
    });
    expect(await revoke(await token(old))).to.equal(Outcome.CREATED);
  });

  afterEach(async () => {
    await running?.stop();
    await server?.stop();
  });

  let counted = 0;
  const token = (key: SigningKey, header = {}) =>
    signToken(key, { iss: ISSUER, jti: `t-${++counted}`, exp: Math.floor(Date.now() / 1000) + 600 }, header);

  async function revoke(...jwts: readonly string[]): Promise<Outcome | undefined> {
    const tokens = jwts.map((value) => create(TokenToBlacklistSchema, { token: { case: "jwt", value } }));
    const { results } = await running.client.blacklist({ tokens });
    return results[0]?.outcome;
  }

  const failure = async (...jwts: readonly string[]) =>
    (await rejection(revoke(...jwts))) as { code: string; reason: string; retryAfterMs?: number };

  async function unreadable(): Promise<string | undefined> {
    const text = await (await fetch(`${running.adminUrl}/metrics`)).text();
    return /^tokenblacklist_key_sets_unreadable (\d+)$/m.exec(text)?.[1];
  }

  it("succeed at once with a new key under an old name", async () => {
    const next = await createSigningKey("k1");
    server.body = keySetOf(next);
    expect([await revoke(await token(next)), server.requests]).to.deep.equal([Outcome.CREATED, 2]);
  });

  it("succeed at once with a key without a kid", async () => {
    const next = await createSigningKey("k2");
    server.body = keySetOf(next);
    expect(await revoke(await token(next, { kid: undefined }))).to.equal(Outcome.CREATED);
  });

  it("succeed concurrently with one read of the key set", async () => {
    const next = await createSigningKey("k1");
    server.body = keySetOf(next);
    const tokens = await Promise.all(Array.from({ length: 100 }, () => token(next)));
    expect(new Set(await Promise.all(tokens.map((jwt) => revoke(jwt))))).to.deep.equal(
      new Set([Outcome.CREATED]),
    );
    // Those that arrived during the read are verified after it.
    expect(server.requests).to.equal(2);
  });

  it("must be retried, with a delay, if the key set was just read for a forged token", async () => {
    const forger = await createSigningKey("k1");
    expect(await failure(await token(forger))).to.include({ code: "INVALID_ARGUMENT" });
    const next = await createSigningKey("k1");
    server.body = keySetOf(next);
    const { code, reason, retryAfterMs } = await failure(await token(next));
    expect({ code, reason }).to.deep.equal({ code: "UNAVAILABLE", reason: "KEYS_UNAVAILABLE" });
    expect(retryAfterMs).to.be.within(1, UNKNOWN_KEY_RELOAD_MS);
  });

  it("cost the issuer one request for any number of forged tokens, none of which succeeds", async () => {
    const forger = await createSigningKey("k1");
    for (let round = 0; round < 5; round++) {
      const forged = await Promise.all(
        Array.from({ length: 40 }, (_, index) =>
          token(forger, { kid: index % 2 ? "k1" : `made up ${index}` }),
        ),
      );
      const failures = await Promise.all(forged.map((jwt) => failure(jwt)));
      for (const { code, reason } of failures) {
        expect([code, reason].join(" ")).to.be.oneOf([
          "INVALID_ARGUMENT INVALID_REQUEST",
          "UNAVAILABLE KEYS_UNAVAILABLE",
        ]);
      }
    }
    expect(server.requests).to.equal(2);
    expect(await revoke(await token(old))).to.equal(Outcome.CREATED);
  });

  for (const [what, body] of Object.entries({
    "an empty set": '{"keys":[]}',
    "a set without a key that can be used": '{"keys":[{"kty":"oct","k":"AAAA","kid":"k1"}]}',
  })) {
    it(`continue with the known keys while ${what} is published, which metric and log report`, async () => {
      expect(await unreadable()).to.equal("0");
      server.body = body;
      expect(await failure(await token(await createSigningKey("k1")))).to.include({
        reason: "KEYS_UNAVAILABLE",
      });
      expect([await revoke(await token(old)), await unreadable()]).to.deep.equal([Outcome.CREATED, "1"]);
      await until(
        () => running.logs().some(({ msg, kept }) => msg === "the key set cannot be read" && kept),
        {
          withinMs: 1000,
          what: "the log says so",
        },
      );
    });
  }
});
