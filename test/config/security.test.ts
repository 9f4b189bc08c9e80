import { join } from "node:path";
import { expect } from "chai";
import { readConfig } from "../../src/config/config.ts";
import { freshFolder } from "../support/shared.ts";
import { CANARY, DEFAULTS, problemsOf, writtenFile } from "./settings.ts";

describe("the settings of callers", () => {
  describe("of callers' tokens", () => {
    const AUTH = {
      AUTH_JWKS_URL: "https://id.example/jwks.json",
      AUTH_ISSUER: "https://id.example",
      AUTH_AUDIENCE: "token-blacklist",
    };
    const TOGETHER =
      "AUTH_JWKS_URL or AUTH_JWKS_FILE, AUTH_ISSUER and AUTH_AUDIENCE need each other: set all three";

    it("reads the source of their keys and their requirements", () => {
      const { bearers, reflection } = readConfig(AUTH).security;
      expect({ bearers, reflection }).to.deep.equal({
        bearers: {
          keys: { kind: "url", url: "https://id.example/jwks.json" },
          issuer: "https://id.example",
          audience: "token-blacklist",
          algorithms: ["RS256", "PS256", "ES256", "EdDSA", "Ed25519"],
          scopeClaim: "scope",
          clockToleranceMs: 5000,
        },
        reflection: false,
      });
    });

    it("reads every variable, and the keys from a file", async () => {
      const file = await writtenFile('{"keys":[]}');
      const env = {
        AUTH_JWKS_FILE: file,
        AUTH_ISSUER: "i",
        AUTH_AUDIENCE: "a",
        AUTH_ALGORITHMS: "ES384",
        AUTH_CLOCK_TOLERANCE: "1m",
        AUTH_SCOPE_CLAIM: "scp",
        REFLECTION: "on",
      };
      const { bearers, reflection } = readConfig(env).security;
      expect({ bearers, reflection }).to.deep.equal({
        bearers: {
          keys: { kind: "file", path: file },
          issuer: "i",
          audience: "a",
          algorithms: ["ES384"],
          scopeClaim: "scp",
          clockToleranceMs: 60_000,
        },
        reflection: true,
      });
    });

    for (const missing of Object.keys(AUTH)) {
      it(`needs all settings together: not without ${missing}, nor only that`, () => {
        const { [missing as keyof typeof AUTH]: value, ...rest } = AUTH;
        expect([
          problemsOf(rest),
          problemsOf({ ...rest, [missing]: "" }),
          problemsOf({ [missing]: value }),
        ]).to.deep.equal(Array(3).fill([TOGETHER]));
      });
    }

    it("takes their keys from one source", async () => {
      expect(problemsOf({ ...AUTH, AUTH_JWKS_FILE: await writtenFile("") })).to.deep.equal([
        "AUTH_JWKS_URL and AUTH_JWKS_FILE are both set: choose one",
      ]);
    });

    it("refuses a missing file of keys", async () => {
      const { AUTH_JWKS_URL: _, ...rest } = AUTH;
      expect(problemsOf({ ...rest, AUTH_JWKS_FILE: join(await freshFolder(), CANARY) })).to.include(
        "AUTH_JWKS_FILE names a file that cannot be read (ENOENT)",
      );
    });

    it("refuses a URL of keys without TLS", () => {
      expect(problemsOf({ ...AUTH, AUTH_JWKS_URL: `http://${CANARY}.example/` })).to.include(
        "AUTH_JWKS_URL must begin with https:// (http:// only for loopback addresses)",
      );
    });

    for (const algorithms of ["none", "HS256", "RS256 HS256", " "]) {
      it(`refuses ${JSON.stringify(algorithms)} for algorithms, even if authentication is off`, () => {
        const PROBLEM =
          "must be one or more of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA, Ed25519";
        expect([
          problemsOf({ ...AUTH, AUTH_ALGORITHMS: algorithms }),
          problemsOf({ AUTH_ALGORITHMS: algorithms }),
          problemsOf({ TOKEN_ALGORITHMS: algorithms }),
        ]).to.deep.equal([
          [`AUTH_ALGORITHMS ${PROBLEM}`],
          [`AUTH_ALGORITHMS ${PROBLEM}`],
          [`TOKEN_ALGORITHMS ${PROBLEM}`],
        ]);
      });
    }

    it("leaves authentication off if only the algorithms or the claim are set", () => {
      expect(readConfig({ AUTH_ALGORITHMS: "ES256", AUTH_SCOPE_CLAIM: "scp" }).security.bearers).to.equal(
        undefined,
      );
    });
  });

  describe("of limits on callers", () => {
    it("reads every variable", () => {
      const env = {
        TOKEN_ISSUERS: "https://a.example=https://a.example/keys b=file:/etc/keys.json",
        TOKEN_ALGORITHMS: "ES256,EdDSA",
        MAX_TOKEN_LIFETIME: "30d",
        AUDIT_LOG: "off",
        QUOTA_ROWS_PER_SECOND: "100",
        MAX_STREAMS_PER_CALLER: "50",
        QUOTA_ROWS: "1000000",
        REFLECTION: "off",
      };
      expect(readConfig(env).security).to.deep.equal({
        ...DEFAULTS.security,
        tokenIssuers: [
          { issuer: "https://a.example", keys: { kind: "url", url: "https://a.example/keys" } },
          { issuer: "b", keys: { kind: "file", path: "/etc/keys.json" } },
        ],
        tokenAlgorithms: ["ES256", "EdDSA", "Ed25519"],
        maxTokenLifetimeMs: 30 * 86_400_000,
        auditLog: false,
        quota: { rowsPerSecond: 100, rows: 1_000_000 },
        streamsPerCaller: 50,
        reflection: false,
      });
    });

    it("reports the problem of each", () => {
      const env = {
        REFLECTION: "yes",
        TOKEN_ISSUERS: `https://a.example=https://a.example/keys ${CANARY}`,
        MAX_TOKEN_LIFETIME: "36501d",
        AUDIT_LOG: "no",
        QUOTA_ROWS_PER_SECOND: "1000001",
        QUOTA_ROWS: "-1",
      };
      expect(problemsOf(env)).to.deep.equal([
        "REFLECTION must be on or off",
        "TOKEN_ISSUERS must be pairs such as https://id.example=https://id.example/jwks.json: pair 2 is not",
        "MAX_TOKEN_LIFETIME must be between 0 and 36500d",
        "AUDIT_LOG must be on or off",
        "QUOTA_ROWS_PER_SECOND must be a whole number between 0 and 1000000",
        "QUOTA_ROWS must be a whole number between 0 and 1000000000",
      ]);
    });

    it("distinguishes the keys of callers from those of tokens to be blacklisted", () => {
      const auth = { AUTH_JWKS_URL: "https://id.example/keys", AUTH_ISSUER: "i", AUTH_AUDIENCE: "a" };
      expect([
        readConfig(auth).security.tokenIssuers,
        readConfig({ TOKEN_ISSUERS: "i=https://id.example/keys" }).security.bearers,
      ]).to.deep.equal([[], undefined]);
    });
  });
});
