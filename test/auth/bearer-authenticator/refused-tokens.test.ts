import { expect } from "chai";
import { UNKNOWN_KEY_RELOAD_MS } from "../../../src/auth/jwks-cache.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { createSigningKey, signToken } from "../../support/issuer.ts";
import { BearerStage, EXPIRED, MINUTE, RULES } from "./bearer-stage.ts";

describe("BearerAuthenticator", () => {
  let stage: BearerStage;

  beforeEach(async () => {
    stage = await BearerStage.start();
  });
  afterEach(() => stage.stop());

  const ISSUER = "the bearer token has an issuer that is not accepted";
  const AUDIENCE = "the bearer token is not intended for this service";
  const NO_EXPIRY = "the bearer token must have an exp";
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
      const token = await stage.tokenWith(changed);
      expect([await stage.refusal(token), await stage.refusal(token)]).to.deep.equal([message, message]);
    });
  }

  it("refuses an expiry that is a number in JSON but not finite", async () => {
    const payload = JSON.stringify(stage.claims()).replace(/"exp":[\d.]+/, '"exp":1e999');
    expect(await stage.refusal(await stage.rawToken(payload))).to.equal(noDate("exp", "an infinite number"));
  });

  it("refuses an invalid token with the verifier's message", async () => {
    const other = await createSigningKey("k1");
    const unsigned = `${Buffer.from('{"alg":"none"}').toString("base64url")}.e30.`;
    const later = async (token: string) => {
      stage.clock.advance(UNKNOWN_KEY_RELOAD_MS);
      return stage.refusal(token);
    };
    expect([
      await stage.refusal("c4n4ry"),
      await stage.refusal(unsigned),
      await stage.refusal(await signToken(other, stage.claims())),
      await later(await signToken(stage.key, stage.claims(), { kid: "c4n4ry" })),
      await stage.refusal("x".repeat(16 * 1024 + 1)),
    ]).to.deep.equal([
      "the bearer token must be a signed JWT: three parts with dots between them",
      "the bearer token must be signed: its algorithm is none",
      "the bearer token has a signature that its issuer's keys do not verify",
      "the bearer token is signed with a key that is not in its issuer's key set",
      "the bearer token must be at most 16384 bytes",
    ]);
  });

  it("accepts a token once its nbf has passed", async () => {
    const token = await stage.tokenWith({ nbf: (stage.clock.now() + MINUTE) / 1000 });
    expect(await stage.refusal(token)).to.equal(TOO_EARLY);
    stage.clock.advance(MINUTE - RULES.clockToleranceMs);
    expect((await stage.authenticate(token)).name).to.equal("gateway");
  });

  it("tolerates a fast clock of the issuer in nbf and iat, but not in exp", async () => {
    const inSeconds = (seconds: number) => stage.clock.now() / 1000 + seconds;
    for (const changed of [
      { nbf: inSeconds(TOLERATED) },
      { iat: inSeconds(TOLERATED) },
      { nbf: inSeconds(TOLERATED - 0.5), iat: inSeconds(-0.25) },
      { iat: inSeconds(-86_400) },
    ]) {
      expect((await stage.authenticate(await stage.tokenWith(changed))).name).to.equal("gateway");
    }
    expect([
      await stage.refusal(await stage.tokenWith({ exp: inSeconds(0) })),
      await stage.refusal(await stage.tokenWith({ exp: inSeconds(-0.001), nbf: inSeconds(TOLERATED) })),
    ]).to.deep.equal([EXPIRED, EXPIRED]);
  });

  it("applies the configured tolerance, or none", async () => {
    for (const clockToleranceMs of [0, MINUTE]) {
      const rules = { ...RULES, clockToleranceMs };
      stage.bearers = stage.bearersWith(rules);
      const nbf = (stage.clock.now() + clockToleranceMs) / 1000;
      expect((await stage.authenticate(await stage.tokenWith({ nbf }))).name).to.equal("gateway");
      expect(await stage.refusal(await stage.tokenWith({ nbf: nbf + 0.001 }))).to.include(
        `more than ${clockToleranceMs / 1000} s ahead`,
      );
    }
  });
});
