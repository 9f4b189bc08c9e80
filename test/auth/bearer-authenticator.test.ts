import { expect } from "chai";
import { CompactSign, type JWTPayload } from "jose";
import {
  BearerAuthenticator,
  type BearerRules,
  MAX_CACHED_BEARER_LENGTH,
  MAX_CACHED_BEARERS,
} from "../../src/auth/bearer-authenticator.ts";
import {
  JwksCache,
  KEYS_RELOAD_MS,
  KEYS_RETRY_MS,
  UNKNOWN_KEY_RELOAD_MS,
} from "../../src/auth/jwks-cache.ts";
import { MAX_KEYS } from "../../src/auth/parse-jwks.ts";
import type { Principal } from "../../src/caller.ts";
import type { EpochMs } from "../../src/entry.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { createSigningKey, KeyServer, keySetOf, type SigningKey, signToken } from "../support/issuer.ts";
import { memoryLog } from "../support/memory-log.ts";
import { rejection, thrownBy } from "../support/rejection.ts";
import { until } from "../support/until.ts";

const RULES: BearerRules = {
  issuer: "https://id.example",
  audience: "token-blacklist",
  algorithms: ["ES256"],
  scopeClaim: "scope",
  clockToleranceMs: 5000,
};
const MINUTE = 60_000;

describe("BearerAuthenticator", () => {
  let key: SigningKey;
  let server: KeyServer;
  let clock: FakeClock;
  let keys: JwksCache;
  let bearers: BearerAuthenticator;
  /** The latest time of all clocks. */
  let latest: () => EpochMs;

  before(async () => {
    key = await createSigningKey("k1");
  });

  beforeEach(async () => {
    clock = new FakeClock();
    latest = () => clock.now();
    server = await KeyServer.start(key);
    ({ keys, bearers } = create());
  });

  function create(): { keys: JwksCache; bearers: BearerAuthenticator } {
    const source = { kind: "url", url: server.url } as const;
    const keys = new JwksCache({ source, name: "callers", clock, log: memoryLog().log });
    const bearers = new BearerAuthenticator({ rules: RULES, keys, clock, now: () => latest() });
    keys.start();
    return { keys, bearers };
  }

  afterEach(async () => {
    keys.stop();
    await server.stop();
  });

  /** The claims of a valid token, with these changes. */
  function claims(changed: object = {}): JWTPayload {
    const { issuer: iss, audience: aud } = RULES;
    const exp = (clock.now() + 10 * MINUTE) / 1000;
    return { iss, aud, exp, sub: "gateway", scope: "check revoke", ...changed };
  }

  const tokenWith = (changed: object = {}) => signToken(key, claims(changed));

  function rawToken(payload: string): Promise<string> {
    return new CompactSign(Buffer.from(payload))
      .setProtectedHeader({ alg: key.alg, kid: key.kid })
      .sign(key.privateKey);
  }

  const authenticate = (token: string) => bearers.authenticate([`Bearer ${token}`]);

  const told = ({ name, roles, token }: Principal) => ({ name, roles: [...roles], token });

  /** The error message, which must not contain anything of the token. */
  async function refusal(token: string): Promise<string> {
    return refusalOf([`Bearer ${token}`]);
  }

  async function refusalOf(metadata: readonly unknown[]): Promise<string> {
    const error = (await rejection(Promise.resolve().then(() => bearers.authenticate(metadata)))) as Error;
    expect(error).to.include({ name: "ServiceError", reason: "UNAUTHENTICATED" });
    expect(error.cause).to.equal(undefined);
    return error.message;
  }

  const idle = () => until(() => clock.pendingTimers === 1, { withinMs: 5000, what: "the key set was read" });

  /** Triggers the background refresh of the key set. */
  async function reload(): Promise<void> {
    clock.advance(KEYS_RELOAD_MS);
    await idle();
  }

  const isRemembered = (token: string) => !(authenticate(token) instanceof Promise);

  describe("authenticates a token", () => {
    it("with a subject, roles and a jti", async () => {
      const token = await tokenWith({ jti: "t-1" });
      expect(told(await authenticate(token))).to.deep.equal({
        ...{ name: "gateway", roles: ["check", "revoke"], token: "t-1" },
      });
    });

    it("without a jti, and with unrelated claims", async () => {
      const token = await tokenWith({ typ: "x", azp: 7, roles: ["prune"] });
      const principal = await authenticate(token);
      expect(told(principal)).to.deep.equal({
        name: "gateway",
        roles: ["check", "revoke"],
        token: undefined,
      });
      expect(principal).not.to.have.property("token");
    });

    it("with further audiences", async () => {
      const token = await tokenWith({ aud: ["other", RULES.audience] });
      expect((await authenticate(token)).name).to.equal("gateway");
    });

    it("until the millisecond of its expiry, and from the millisecond of its nbf", async () => {
      const token = await tokenWith({ exp: (clock.now() + 1) / 1000, nbf: clock.now() / 1000 });
      expect((await authenticate(token)).name).to.equal("gateway");
    });

    it("whose subject has the maximum length", async () => {
      for (const sub of ["x".repeat(255), `${"é".repeat(127)}x`]) {
        expect((await authenticate(await tokenWith({ sub }))).name).to.equal(sub);
      }
    });

    it("whose jti has the maximum length", async () => {
      const jti = "é".repeat(127);
      expect((await authenticate(await tokenWith({ jti }))).token).to.equal(jti);
    });
  });

  describe("reads the authorization metadata", () => {
    for (const scheme of ["Bearer ", "bearer ", "BEARER   "]) {
      it(`with the scheme ${JSON.stringify(scheme)}`, async () => {
        expect((await bearers.authenticate([scheme + (await tokenWith())])).name).to.equal("gateway");
      });
    }

    it("and refuses other than a single bearer token, without repeating it", async () => {
      const token = await tokenWith();
      const good = `Bearer ${token}`;
      await bearers.authenticate([good]);
      for (const metadata of [
        [],
        [good, good],
        [good, "Basic c4n4ry"],
        ["Basic c4n4ry", good],
        [Buffer.from(good)],
        [[good]],
        [undefined],
        [""],
        ["Bearer"],
        ["Bearer "],
        [token],
        [`Bearer${token}`],
        [`Bearer\t${token}`],
        [`Basic ${token}`],
        [` ${good}`],
        [`${good} `],
        [`${good}\n`],
        [`${good}, Bearer ${token}`],
        [`${good},${token}`],
        ["Bearer é.é.é"],
      ]) {
        expect(await refusalOf(metadata)).to.equal(
          "the authorization metadata must be a single value: Bearer and the token",
        );
      }
    });
  });

  const ISSUER = "the bearer token has an issuer that is not accepted";
  const AUDIENCE = "the bearer token is not intended for this service";
  const NO_EXPIRY = "the bearer token must have an exp";
  const EXPIRED = "the bearer token has expired";
  const AHEAD = "is more than 5 s ahead of this service's clock (AUTH_CLOCK_TOLERANCE)";
  const TOO_EARLY = `the bearer token is not valid yet: its nbf ${AHEAD}`;
  const UNISSUED = `the bearer token was issued in the future: its iat ${AHEAD}`;
  const SUBJECT = "the bearer token must have a sub that is text";
  const LONG_SUBJECT = "the bearer token must have a sub of at most 255 bytes, without NUL";
  const now = new FakeClock().now() / 1000;
  const malformed = (claim: string, kind: string) => `the bearer token has a malformed ${claim}: it ${kind}`;
  const noDate = (claim: string, kind: string) =>
    malformed(claim, `is ${kind}, and must be a number of seconds`);
  const TOLERATED = RULES.clockToleranceMs / 1000;
  const REFUSED: readonly [claims: object, message: string][] = [
    [{ iss: undefined }, `${ISSUER}: its iss is absent`],
    [{ iss: null }, `${ISSUER}: its iss is null`],
    [{ iss: "https://evil.example" }, ISSUER],
    [{ iss: "https://id.example/" }, `${ISSUER}: its iss differs from AUTH_ISSUER by a slash at its end`],
    [
      { iss: "https://ID.example" },
      `${ISSUER}: its iss differs from AUTH_ISSUER by capital and small letters`,
    ],
    [{ iss: " https://id.example" }, `${ISSUER}: its iss differs from AUTH_ISSUER by white space around it`],
    [{ iss: "http://id.example" }, `${ISSUER}: its iss differs from AUTH_ISSUER by http:// for https://`],
    [{ iss: "https://id.example.evil.example" }, ISSUER],
    [{ iss: ["https://id.example"] }, `${ISSUER}: its iss is a list`],
    [{ aud: undefined }, `${AUDIENCE}: its aud is absent`],
    [{ aud: null }, `${AUDIENCE}: its aud is null`],
    [{ aud: 7 }, `${AUDIENCE}: its aud is a number`],
    [{ aud: "" }, AUDIENCE],
    [{ aud: [] }, AUDIENCE],
    [{ aud: "token-blacklist-2" }, AUDIENCE],
    [
      { aud: "Token-Blacklist" },
      `${AUDIENCE}: its aud differs from AUTH_AUDIENCE by capital and small letters`,
    ],
    [
      { aud: ["x", "token-blacklist/"] },
      `${AUDIENCE}: its aud differs from AUTH_AUDIENCE by a slash at its end`,
    ],
    [{ aud: "other token-blacklist" }, `${AUDIENCE}: several audiences must be a list`],
    [{ aud: [["token-blacklist"]] }, AUDIENCE],
    [{ aud: { 0: "token-blacklist" } }, `${AUDIENCE}: its aud is an object`],
    [{ exp: undefined }, NO_EXPIRY],
    [{ exp: null }, noDate("exp", "null")],
    [{ exp: String(now + 600) }, noDate("exp", "text")],
    [{ exp: [now + 600] }, noDate("exp", "a list")],
    [{ exp: true }, noDate("exp", "true or false")],
    [{ exp: now }, EXPIRED],
    [{ exp: 0 }, EXPIRED],
    [{ exp: -1 }, EXPIRED],
    [{ nbf: now + TOLERATED + 0.001 }, TOO_EARLY],
    [{ nbf: String(now - 600) }, noDate("nbf", "text")],
    [{ nbf: null }, noDate("nbf", "null")],
    [{ iat: now + TOLERATED + 0.001 }, UNISSUED],
    [{ iat: (now - 600) * 1000 }, UNISSUED],
    [{ iat: "never" }, noDate("iat", "text")],
    [{ sub: undefined }, `${SUBJECT}: its sub is absent`],
    [{ sub: "" }, `${SUBJECT}: its sub is empty`],
    [{ sub: null }, `${SUBJECT}: its sub is null`],
    [{ sub: 42 }, `${SUBJECT}: its sub is a number`],
    [{ sub: ["gateway"] }, `${SUBJECT}: its sub is a list`],
    [{ sub: "x".repeat(256) }, LONG_SUBJECT],
    [{ sub: "é".repeat(128) }, LONG_SUBJECT],
    [{ sub: "gate\0way" }, LONG_SUBJECT],
    [{ sub: "\ud800" }, LONG_SUBJECT],
    [{ jti: "" }, malformed("jti", "must not be empty")],
    [{ jti: null }, malformed("jti", "is null, and must be text")],
    [{ jti: 12345 }, malformed("jti", "is a number, and must be text")],
    [{ jti: ["t-1"] }, malformed("jti", "is a list, and must be text")],
    [{ jti: "x".repeat(256) }, malformed("jti", "must be at most 255 bytes of UTF-8")],
    [{ jti: "t\0" }, malformed("jti", "must not contain NUL")],
    [{ jti: "\udfff" }, malformed("jti", "must be well-formed Unicode")],
  ];
  for (const [changed, message] of REFUSED) {
    const text = JSON.stringify(changed, (_, value) => (value === undefined ? "absent" : value));
    it(`refuses ${text.length > 60 ? `${text.slice(0, 60)}...` : text}`, async () => {
      const token = await tokenWith(changed);
      expect([await refusal(token), await refusal(token)]).to.deep.equal([message, message]);
    });
  }

  it("refuses an expiry that is a number in JSON but not finite", async () => {
    const payload = JSON.stringify(claims()).replace(/"exp":[\d.]+/, '"exp":1e999');
    expect(await refusal(await rawToken(payload))).to.equal(noDate("exp", "an infinite number"));
  });

  it("refuses an invalid token with the verifier's message", async () => {
    const other = await createSigningKey("k1");
    const unsigned = `${Buffer.from('{"alg":"none"}').toString("base64url")}.e30.`;
    const later = async (token: string) => {
      clock.advance(UNKNOWN_KEY_RELOAD_MS);
      return refusal(token);
    };
    expect([
      await refusal("c4n4ry"),
      await refusal(unsigned),
      await refusal(await signToken(other, claims())),
      await later(await signToken(key, claims(), { kid: "c4n4ry" })),
      await refusal("x".repeat(16 * 1024 + 1)),
    ]).to.deep.equal([
      "the bearer token must be a signed JWT: three parts with dots between them",
      "the bearer token must be signed: its algorithm is none",
      "the bearer token has a signature that its issuer's keys do not verify",
      "the bearer token is signed with a key that is not in its issuer's key set",
      "the bearer token must be at most 16384 bytes",
    ]);
  });

  it("accepts a token once its nbf has passed", async () => {
    const token = await tokenWith({ nbf: (clock.now() + MINUTE) / 1000 });
    expect(await refusal(token)).to.equal(TOO_EARLY);
    clock.advance(MINUTE - RULES.clockToleranceMs);
    expect((await authenticate(token)).name).to.equal("gateway");
  });

  it("tolerates a fast clock of the issuer in nbf and iat, but not in exp", async () => {
    const inSeconds = (seconds: number) => clock.now() / 1000 + seconds;
    for (const changed of [
      { nbf: inSeconds(TOLERATED) },
      { iat: inSeconds(TOLERATED) },
      { nbf: inSeconds(TOLERATED - 0.5), iat: inSeconds(-0.25) },
      { iat: inSeconds(-86_400) },
    ]) {
      expect((await authenticate(await tokenWith(changed))).name).to.equal("gateway");
    }
    expect([
      await refusal(await tokenWith({ exp: inSeconds(0) })),
      await refusal(await tokenWith({ exp: inSeconds(-0.001), nbf: inSeconds(TOLERATED) })),
    ]).to.deep.equal([EXPIRED, EXPIRED]);
  });

  it("applies the configured tolerance, or none", async () => {
    for (const clockToleranceMs of [0, MINUTE]) {
      const rules = { ...RULES, clockToleranceMs };
      bearers = new BearerAuthenticator({ rules, keys, clock, now: () => clock.now() });
      const nbf = (clock.now() + clockToleranceMs) / 1000;
      expect((await authenticate(await tokenWith({ nbf }))).name).to.equal("gateway");
      expect(await refusal(await tokenWith({ nbf: nbf + 0.001 }))).to.include(
        `more than ${clockToleranceMs / 1000} s ahead`,
      );
    }
  });

  describe("reads the key set", () => {
    it("for a token with a new key under an old name, and authenticates it at once", async () => {
      await authenticate(await tokenWith());
      const next = await createSigningKey("k1");
      server.body = keySetOf(next);
      expect((await authenticate(await signToken(next, claims()))).name).to.equal("gateway");
      expect(server.requests).to.equal(2);
    });

    it("for a token without a kid that fits no key, and authenticates it at once", async () => {
      await authenticate(await tokenWith());
      const next = await createSigningKey("k2");
      server.body = keySetOf(next);
      const token = await signToken(next, claims(), { kid: undefined });
      expect((await authenticate(token)).name).to.equal("gateway");
    });

    it("for forged tokens only at a limited rate, and otherwise reports the time to wait", async () => {
      const forger = await createSigningKey("k1");
      await idle();
      expect(await refusal(await signToken(forger, claims()))).to.match(/signature/);
      clock.advance(1000);
      const error = await rejection(Promise.resolve(authenticate(await signToken(forger, claims()))));
      expect(error).to.deep.include({
        ...{ reason: "KEYS_UNAVAILABLE", retryAfterMs: UNKNOWN_KEY_RELOAD_MS - 1000 },
      });
      clock.advance(UNKNOWN_KEY_RELOAD_MS - 1000);
      expect(await refusal(await signToken(forger, claims()))).to.match(/signature/);
    });

    it("not for a token that no key could validate", async () => {
      const forger = await createSigningKey("k2");
      await idle();
      for (const changed of [{ iss: "https://evil.example" }, { aud: "x" }, { exp: 1 }, { nbf: 9e9 }]) {
        await refusal(await signToken(forger, claims(changed)));
      }
      expect(server.requests).to.equal(1);
    });
  });

  describe("reads the roles", () => {
    const SCOPES: readonly [scope: unknown, roles: readonly string[]][] = [
      ["check", ["check"]],
      ["prune list revoke check", ["check", "revoke", "list", "prune"]],
      ["openid  check profile ", ["check"]],
      [
        ["list", "check"],
        ["check", "list"],
      ],
      [["check list"], []],
      [[["check"]], []],
      ["", []],
      ["CHECK Revoke", []],
      ["checkrevoke check,revoke check\trevoke", []],
      ["blacklist:check", []],
      ["*", []],
      [undefined, []],
      [null, []],
      [7, []],
      [true, []],
      [{ check: true }, []],
      [[], []],
    ];
    for (const [scope, roles] of SCOPES) {
      it(`${JSON.stringify(roles)} from ${JSON.stringify(scope) ?? "no scope"}`, async () => {
        expect([...(await authenticate(await tokenWith({ scope }))).roles]).to.deep.equal(roles);
      });
    }

    it("only from the configured claim", async () => {
      for (const scopeClaim of ["scp", "https://corp.example/roles", "constructor", "__proto__"]) {
        bearers = new BearerAuthenticator({
          rules: { ...RULES, scopeClaim },
          keys,
          clock,
          now: () => clock.now(),
        });
        const payload = JSON.stringify({ ...claims(), scope: "prune", x: 0 });
        const token = await rawToken(payload.replace('"x":0', `${JSON.stringify(scopeClaim)}:["list"]`));
        expect([...(await authenticate(token)).roles], scopeClaim).to.deep.equal(["list"]);
        expect([...(await authenticate(await tokenWith())).roles], scopeClaim).to.deep.equal([]);
      }
    });
  });

  describe("caches a token", () => {
    it("so that its next call needs no verification and no key set", async () => {
      const token = await tokenWith();
      const principal = await authenticate(token);
      await server.stop();
      expect(authenticate(token)).to.equal(principal);
      server = await KeyServer.start(key);
    });

    it("and verifies concurrent calls with it once", async () => {
      const token = await tokenWith();
      const asked = Array.from({ length: 1000 }, () => authenticate(token));
      expect(new Set(asked).size).to.equal(1);
      const principals = new Set(await Promise.all(asked));
      expect([principals.size, principals.has(authenticate(token) as Principal)]).to.deep.equal([1, true]);
    });

    it("by its whole text, signature included", async () => {
      const token = await tokenWith();
      await authenticate(token);
      const [header, payload, signature = ""] = token.split(".");
      for (const other of ["", signature.slice(0, -2), "A".repeat(86)]) {
        clock.advance(UNKNOWN_KEY_RELOAD_MS);
        expect(await refusal(`${header}.${payload}.${other}`)).to.equal(
          "the bearer token has a signature that its issuer's keys do not verify",
        );
      }
    });

    it("until the millisecond of its expiry", async () => {
      const token = await tokenWith({ exp: (clock.now() + 1000) / 1000 });
      await authenticate(token);
      clock.advance(999);
      expect(isRemembered(token)).to.equal(true);
      clock.advance(1);
      expect([await refusal(token), await refusal(token)]).to.deep.equal([EXPIRED, EXPIRED]);
    });

    it("and not for longer if the wall clock is set back, on any later attempt", async () => {
      const token = await tokenWith({ exp: (clock.now() + MINUTE / 2) / 1000 });
      await authenticate(token);
      clock.jumpTo(clock.now() - 10 * MINUTE);
      clock.advance(MINUTE / 2 - 1);
      expect(isRemembered(token)).to.equal(true);
      clock.advance(1);
      expect([await refusal(token), await refusal(token)]).to.deep.equal([EXPIRED, EXPIRED]);
    });

    it("and treats it as expired only while the wall clock says so", async () => {
      const token = await tokenWith();
      await authenticate(token);
      const rightly = clock.now();
      clock.jumpTo(rightly + 10 * MINUTE);
      expect(thrownBy(() => authenticate(token))).to.include({ message: EXPIRED });
      clock.jumpTo(rightly);
      expect(isRemembered(token)).to.equal(true);
    });

    it("and not for longer than any clock allows, cached or not", async () => {
      const token = await tokenWith({ exp: (clock.now() + MINUTE) / 1000 });
      await authenticate(token);
      latest = () => (clock.now() + MINUTE) as EpochMs;
      expect(await refusal(token)).to.equal(EXPIRED);
      bearers = create().bearers;
      expect(await refusal(token)).to.equal(EXPIRED);
      latest = () => clock.now();
      expect(isRemembered(token)).to.equal(false);
    });

    it("until the keys change, and then verifies it with the new ones", async () => {
      const token = await tokenWith();
      await authenticate(token);
      const next = await createSigningKey("k2");
      server.body = keySetOf(key, next);
      await reload();
      expect(isRemembered(token)).to.equal(false);
      await authenticate(token);
      server.body = keySetOf(next);
      await reload();
      expect(await refusal(token)).to.equal(
        "the bearer token is signed with a key that is not in its issuer's key set",
      );
    });

    for (const first of [true, false]) {
      it(`but not if its key was withdrawn during the verification${first ? " with the first keys" : ""}`, async () => {
        const other = await createSigningKey("other");
        const nameless = [...Array(MAX_KEYS - 1).fill(other), key].map(({ publicJwk }) => ({
          ...publicJwk,
          kid: undefined,
        }));
        server.body = JSON.stringify({ keys: nameless });
        keys.stop();
        ({ keys, bearers } = create());
        if (!first) await idle();
        const token = await signToken(key, claims(), { kid: undefined });
        let verified = false;
        const verifying = Promise.resolve(authenticate(token)).then(({ name }) => {
          verified = true;
          return name;
        });
        await idle();
        server.body = keySetOf(other);
        await reload();
        expect([keys.version, verified]).to.deep.equal([2, false]);
        expect([await verifying, isRemembered(token)]).to.deep.equal(["gateway", false]);
      });
    }

    it("while the same keys are read again, or cannot be read", async () => {
      const token = await tokenWith();
      await authenticate(token);
      await reload();
      server.status = 503;
      await reload();
      expect([server.requests, isRemembered(token)]).to.deep.equal([3, true]);
    });

    it("but not if it was refused", async () => {
      const token = await tokenWith({ aud: "other" });
      await refusal(token);
      const again = authenticate(token);
      expect(again).to.be.instanceOf(Promise);
      await rejection(again as Promise<unknown>);
    });

    it("but not if it is long, although it is accepted", async () => {
      const pad = (length: number) => tokenWith({ pad: "x".repeat(length) });
      const short = (await pad(0)).length;
      const longer = Math.ceil(((MAX_CACHED_BEARER_LENGTH - "Bearer ".length - short) / 4) * 3);
      for (const [length, remembered] of [
        [longer - 8, true],
        [longer + 8, false],
      ] as const) {
        const token = await pad(length);
        expect(`Bearer ${token}`.length <= MAX_CACHED_BEARER_LENGTH).to.equal(remembered);
        expect((await authenticate(token)).name).to.equal("gateway");
        expect(isRemembered(token)).to.equal(remembered);
      }
    });

    it("and evicts the oldest above the limit", async function () {
      this.timeout(60_000);
      this.slow(20_000);
      const tokens: string[] = [];
      while (tokens.length <= MAX_CACHED_BEARERS) {
        const count = Math.min(500, MAX_CACHED_BEARERS + 1 - tokens.length);
        const some = Array.from({ length: count }, (_, index) => tokenWith({ n: tokens.length + index }));
        for (const token of await Promise.all(some)) tokens.push(token);
        await Promise.all(tokens.slice(-count).map((token) => authenticate(token)));
      }
      const remembered = tokens.map(isRemembered);
      expect(remembered.indexOf(false)).to.be.within(0, 499);
      expect(remembered.filter((is) => is)).to.have.length(MAX_CACHED_BEARERS);
    });
  });

  describe("without a key set", () => {
    beforeEach(async () => {
      keys.stop();
      server.status = 503;
      ({ keys, bearers } = create());
    });

    it("reports KEYS_UNAVAILABLE instead of UNAUTHENTICATED until the keys are available", async () => {
      const token = await tokenWith();
      for (const attempt of [authenticate(token), authenticate(token)]) {
        expect(await rejection(Promise.resolve(attempt))).to.include({ reason: "KEYS_UNAVAILABLE" });
      }
      server.status = 200;
      await idle();
      clock.advance(KEYS_RETRY_MS);
      expect((await authenticate(token)).name).to.equal("gateway");
    });

    it("still refuses a token that no key could validate", async () => {
      expect(await refusal("c4n4ry")).to.match(/must be a signed JWT/);
    });
  });
});
