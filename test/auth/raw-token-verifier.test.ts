import { expect } from "chai";
import { CompactSign } from "jose";
import { JwksCache, KEYS_RETRY_MS, UNKNOWN_KEY_RELOAD_MS } from "../../src/auth/jwks-cache.ts";
import { RawTokenVerifier, type VerifiedToken } from "../../src/auth/raw-token-verifier.ts";
import { InvalidTokenError } from "../../src/auth/verify.ts";
import { MAX_EPOCH_MS } from "../../src/entry.ts";
import type { ServiceError } from "../../src/errors.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { createSigningKey, KeyServer, keySetOf, type SigningKey, signToken } from "../support/issuer.ts";
import { memoryLog } from "../support/memory-log.ts";
import { reasonOf, rejection } from "../support/rejection.ts";
import { until } from "../support/until.ts";

const A = "https://a.example";
const B = "https://b.example";
const UNKNOWN_ISSUER = "must have a known issuer";
const NEAR_ISSUER = `${UNKNOWN_ISSUER}: its iss differs from one of TOKEN_ISSUERS by`;
const TOO_LATE = "has a malformed exp: it must be before the year 10000 (it counts seconds)";
const SIGNATURE = "has a signature that its issuer's keys do not verify";

describe("RawTokenVerifier", () => {
  let keyOf: Record<string, SigningKey>;
  let servers: Map<string, KeyServer>;
  let keySets: Map<string, JwksCache>;
  let clock: FakeClock;
  let rawTokens: RawTokenVerifier;

  before(async () => {
    const [a, b] = await Promise.all([createSigningKey("k"), createSigningKey("k")]);
    keyOf = { [A]: a, [B]: b };
  });

  beforeEach(async () => {
    clock = new FakeClock();
    servers = new Map();
    keySets = new Map();
    for (const [issuer, key] of Object.entries(keyOf)) {
      const server = await KeyServer.start(key);
      servers.set(issuer, server);
      const source = { kind: "url", url: server.url } as const;
      keySets.set(issuer, new JwksCache({ source, name: issuer, clock, log: memoryLog().log }));
    }
    rawTokens = new RawTokenVerifier({ issuers: keySets, algorithms: ["ES256"] });
    for (const keys of keySets.values()) keys.start();
  });

  afterEach(async () => {
    for (const keys of keySets.values()) keys.stop();
    await Promise.all([...servers.values()].map((server) => server.stop()));
  });

  const inAnHour = () => clock.now() / 1000 + 3600;
  const tokenWith = (changed: object = {}, key = keyOf[A] as SigningKey, header = {}) =>
    signToken(key, { iss: A, jti: "t-1", exp: inAnHour(), ...changed }, header);

  const caller = { isGone: false, principal: { name: "login" } };

  /** Verifies one token. */
  async function identify(token: string): Promise<VerifiedToken> {
    const [judged] = await rawTokens.identify([token], caller);
    if (judged === undefined || judged instanceof InvalidTokenError) throw judged;
    return judged;
  }

  async function refusal(token: string): Promise<string> {
    const error = (await rejection(identify(token))) as Error;
    expect(error).to.be.instanceOf(InvalidTokenError);
    expect([Object.keys(error), error.cause]).to.deep.equal([["name"], undefined]);
    return error.message;
  }

  const noDate = (kind: string) => `has a malformed exp: it is ${kind}, and must be a number of seconds`;

  it("returns only the jti and expiry of a token", async () => {
    expect(await identify(await tokenWith({ sub: "c4n4ry", aud: "c4n4ry" }))).to.deep.equal({
      jti: "t-1",
      expiresAt: inAnHour() * 1000,
    });
  });

  it("verifies a token only with the keys of its own issuer", async () => {
    expect([
      (await identify(await tokenWith({ iss: B }, keyOf[B]))).jti,
      await refusal(await tokenWith({ iss: A }, keyOf[B])),
      await refusal(await tokenWith({ iss: B }, keyOf[A])),
    ]).to.deep.equal(["t-1", SIGNATURE, SIGNATURE]);
  });

  it("accepts tokens that are expired, not valid yet, or for any audience", async () => {
    for (const changed of [{ exp: 1 }, { nbf: 9e9 }, { aud: "other" }, { typ: "at+jwt" }, { iat: "x" }]) {
      expect((await identify(await tokenWith(changed))).jti).to.equal("t-1");
    }
  });

  it("rounds the expiry up to the millisecond, so that no token outlives its entry", async () => {
    const EXPIRIES = { 1893456000.0001: 1893456000001, 1893456000.25: 1893456000250, 0.0001: 1, 1: 1000 };
    for (const [exp, expiresAt] of Object.entries(EXPIRIES)) {
      expect((await identify(await tokenWith({ exp: Number(exp) }))).expiresAt).to.equal(expiresAt);
    }
    const last = await tokenWith({ exp: MAX_EPOCH_MS / 1000 });
    expect((await identify(last)).expiresAt).to.equal(MAX_EPOCH_MS);
  });

  const REFUSED: readonly [changed: object, message: string][] = [
    [{ iss: undefined }, `${UNKNOWN_ISSUER}: its iss is absent`],
    [{ iss: null }, `${UNKNOWN_ISSUER}: its iss is null`],
    [{ iss: "" }, UNKNOWN_ISSUER],
    [{ iss: "https://c4n4ry.example" }, UNKNOWN_ISSUER],
    [{ iss: `${A}/` }, `${NEAR_ISSUER} a slash at its end`],
    [{ iss: A.toUpperCase() }, `${NEAR_ISSUER} capital and small letters`],
    [{ iss: [A] }, `${UNKNOWN_ISSUER}: its iss is a list`],
    [{ iss: "__proto__" }, UNKNOWN_ISSUER],
    [{ jti: undefined }, "must have a jti"],
    [{ jti: null }, "has a malformed jti: it is null, and must be text"],
    [{ jti: 12345 }, "has a malformed jti: it is a number, and must be text"],
    [{ jti: ["t-1"] }, "has a malformed jti: it is a list, and must be text"],
    [{ jti: "" }, "has a malformed jti: it must not be empty"],
    [{ jti: "x".repeat(256) }, "has a malformed jti: it must be at most 255 bytes of UTF-8"],
    [{ jti: "c4n4ry\0" }, "has a malformed jti: it must not contain NUL"],
    [{ jti: "\ud800" }, "has a malformed jti: it must be well-formed Unicode"],
    [{ exp: undefined }, "must have an exp"],
    [{ exp: null }, noDate("null")],
    [{ exp: "1893456000" }, noDate("text")],
    [{ exp: [1893456000] }, noDate("a list")],
    [{ exp: true }, noDate("true or false")],
    [{ exp: 0 }, "has a malformed exp: it must be more than 0"],
    [{ exp: -1 }, "has a malformed exp: it must be more than 0"],
    [{ exp: 253_402_300_800 }, TOO_LATE],
    [{ exp: 1e300 }, TOO_LATE],
    [{ exp: 1_893_456_000_000 }, TOO_LATE],
  ];
  for (const [changed, message] of REFUSED) {
    const text = JSON.stringify(changed, (_, value) => (value === undefined ? "absent" : value));
    it(`refuses ${text.length > 60 ? `${text.slice(0, 60)}...` : text}`, async () => {
      expect(await refusal(await tokenWith(changed))).to.equal(message);
    });
  }

  it("refuses an expiry that is a number in JSON but not finite", async () => {
    const { alg, kid, privateKey } = keyOf[A] as SigningKey;
    const payload = Buffer.from(`{"iss":"${A}","jti":"t-1","exp":1e999}`);
    const token = await new CompactSign(payload).setProtectedHeader({ alg, kid }).sign(privateKey);
    expect(await refusal(token)).to.equal(noDate("an infinite number"));
  });

  it("explains each problem of a token", async () => {
    const token = await tokenWith();
    const [header, payload, signature] = token.split(".");
    const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const later = async (token: string) => {
      clock.advance(UNKNOWN_KEY_RELOAD_MS);
      return refusal(token);
    };
    expect([
      await refusal(""),
      await refusal("c4n4ry"),
      await refusal(`${header}.e.${signature}`),
      await refusal(`${header}.${encode([A])}.${signature}`),
      await refusal(`${encode({ alg: "none" })}.${payload}.`),
      await refusal(`${encode({ alg: "HS256", kid: "k" })}.${payload}.${signature}`),
      await refusal(`${encode({ alg: "ES256", kid: "k", crit: ["x"], x: 1 })}.${payload}.${signature}`),
      await refusal(`${header}.${payload}.${signature}.x.y`),
      await refusal(`${token}${"A".repeat(16 * 1024)}`),
      await refusal(await tokenWith({}, await createSigningKey("k", "ES384"))),
      await refusal(await tokenWith({}, await createSigningKey("c4n4ry"))),
      await later(await tokenWith({}, await createSigningKey("k"))),
      await later(`${header}.${encode({ iss: A, jti: "t-2", exp: inAnHour() })}.${signature}`),
      await refusal(`c4n4ry.${payload}.${signature}`),
    ]).to.deep.equal([
      "must be a signed JWT: three parts with dots between them",
      "must be a signed JWT: three parts with dots between them",
      "must have claims in JSON",
      "must have claims in a JSON object",
      "must be signed: its algorithm is none",
      "must be signed with a private key, not with a shared secret",
      "has a critical header parameter that is not supported",
      "must be signed, not encrypted",
      "must be at most 16384 bytes",
      "is signed with an algorithm that is not accepted (ES384): it must be ES256",
      "is signed with a key that is not in its issuer's key set",
      SIGNATURE,
      SIGNATURE,
      "must begin with a header in JSON",
    ]);
  });

  it("reads only the keys of the token's own issuer", async () => {
    await until(() => clock.pendingTimers === 2, { withinMs: 5000, what: "both key sets were read" });
    await refusal(await tokenWith({ iss: "https://c4n4ry.example" }, await createSigningKey("new")));
    await refusal(await tokenWith({ iss: A }, await createSigningKey("new")));
    expect([servers.get(A)?.requests, servers.get(B)?.requests]).to.deep.equal([2, 1]);
  });

  it("accepts a token at once that was signed with a new key under an old name, or without a kid", async () => {
    await identify(await tokenWith());
    const [second, third] = await Promise.all([createSigningKey("k"), createSigningKey("unnamed")]);
    const server = servers.get(A) as KeyServer;
    server.body = keySetOf(second);
    expect((await identify(await tokenWith({}, second))).jti).to.equal("t-1");
    clock.advance(UNKNOWN_KEY_RELOAD_MS);
    server.body = keySetOf(third);
    expect((await identify(await tokenWith({}, third, { kid: undefined }))).jti).to.equal("t-1");
    expect(server.requests).to.equal(3);
  });

  it("reports the retry delay for a token with a new key if the issuer's keys were read recently", async () => {
    await refusal(await tokenWith({}, await createSigningKey("made up")));
    const next = await createSigningKey("k");
    (servers.get(A) as KeyServer).body = keySetOf(next);
    const token = await tokenWith({}, next);
    const error = (await rejection(identify(token))) as ServiceError;
    expect(error).to.include({ reason: "KEYS_UNAVAILABLE", retryAfterMs: UNKNOWN_KEY_RELOAD_MS });
    clock.advance(error.retryAfterMs as number);
    expect((await identify(token)).jti).to.equal("t-1");
  });

  it("cannot verify a token while the keys of its issuer are unavailable, unlike tokens of other issuers", async () => {
    const server = await KeyServer.start();
    servers.set("c", server);
    server.status = 503;
    const keys = new JwksCache({
      ...{ source: { kind: "url", url: server.url }, name: "c", clock, log: memoryLog().log },
    });
    keySets.set("c", keys);
    keys.start();
    expect([
      await reasonOf(identify(await tokenWith({ iss: "c" }))),
      (await identify(await tokenWith())).jti,
    ]).to.deep.equal(["KEYS_UNAVAILABLE", "t-1"]);
    Object.assign(server, { status: 200, body: servers.get(A)?.body });
    await until(() => clock.pendingTimers === 3, { withinMs: 5000, what: "the next attempt is due" });
    clock.advance(KEYS_RETRY_MS);
    expect((await identify(await tokenWith({ iss: "c" }))).jti).to.equal("t-1");
  });

  it("explains the alternative if no issuer is configured", async () => {
    rawTokens = new RawTokenVerifier({ issuers: new Map(), algorithms: ["ES256"] });
    for (const token of ["", "c4n4ry", await tokenWith()]) {
      expect(await refusal(token)).to.equal(
        "cannot be verified: this service has no TOKEN_ISSUERS. Send jti and expires_at",
      );
    }
  });

  it("verifies several tokens in order, with the problem of each invalid one", async () => {
    const tokens = [await tokenWith({ jti: "a" }), "c4n4ry", await tokenWith({ jti: "b" })];
    const judged = await rawTokens.identify(tokens, caller);
    expect(judged.map((one) => (one instanceof InvalidTokenError ? one.message : one.jti))).to.deep.equal([
      "a",
      "must be a signed JWT: three parts with dots between them",
      "b",
    ]);
  });

  it("reads an issuer's keys once for all tokens of a request that fit no key", async () => {
    const made = await createSigningKey("made up");
    const tokens = await Promise.all(Array.from({ length: 20 }, () => tokenWith({}, made)));
    const judged = await rawTokens.identify(tokens, caller);
    expect(judged.filter((one) => one instanceof InvalidTokenError)).to.have.length(20);
    expect(servers.get(A)?.requests).to.equal(2);
  });

  it("does not delay other tokens while some wait for their issuer's keys", async () => {
    const server = await KeyServer.start();
    servers.set("c", server);
    server.hold();
    const source = { kind: "url", url: server.url } as const;
    const keys = new JwksCache({ source, name: "c", clock, log: memoryLog().log });
    keySets.set("c", keys);
    keys.start();
    const stuck = await Promise.all(Array.from({ length: 20 }, () => tokenWith({ iss: "c" })));
    const waiting = reasonOf(rawTokens.identify(stuck, caller));
    expect((await identify(await tokenWith())).jti).to.equal("t-1");
    server.release({ status: 503 });
    expect(await waiting).to.equal("KEYS_UNAVAILABLE");
  });

  it("stops work for a cancelled call", async () => {
    const error = await reasonOf(rawTokens.identify([await tokenWith()], { ...caller, isGone: true }));
    expect(error).to.equal("CANCELLED");
  });
});
