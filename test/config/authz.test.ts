import { expect } from "chai";
import { readConfig } from "../../src/config/config.ts";
import { DEFAULTS, problemsOf } from "./settings.ts";

const ADDRESS = { AUTHZ_ADDRESS: "127.0.0.1:9465", AUTHZ_JTI_HEADER: "X-Token-Id" };

describe("the settings for proxies", () => {
  it("are off by default, and deny requests without a token if on", () => {
    expect(readConfig({}).authz).to.deep.equal(DEFAULTS.authz);
  });

  it("are all read", () => {
    const env = {
      ...ADDRESS,
      EXT_AUTHZ: "on",
      UNVERIFIED_BEARER: "on",
      MISSING_JTI: "allow",
      AUTHZ_PREFLIGHT: "allow",
      AUTHZ_METHOD_HEADER: "X-Forwarded-Method",
      AUTHZ_MAX_STALENESS: "250ms",
    };
    expect(readConfig(env).authz).to.deep.equal({
      extAuthz: true,
      address: { host: "127.0.0.1", port: 9465 },
      jtiHeader: "x-token-id",
      methodHeader: "x-forwarded-method",
      unverifiedBearer: true,
      missingJti: "allow",
      preflight: "allow",
      maxStalenessMs: 250,
      insecure: false,
    });
  });

  it("report all problems at once", () => {
    const env = {
      EXT_AUTHZ: "yes",
      AUTHZ_ADDRESS: "9465",
      AUTHZ_JTI_HEADER: "x token",
      UNVERIFIED_BEARER: "true",
      MISSING_JTI: "pass",
      AUTHZ_PREFLIGHT: "pass",
      AUTHZ_METHOD_HEADER: "x method",
      AUTHZ_MAX_STALENESS: "2h",
    };
    expect(problemsOf(env)).to.deep.equal([
      "EXT_AUTHZ must be on or off",
      "AUTHZ_ADDRESS must be host:port, such as 127.0.0.1:50051 or [::1]:50051",
      "AUTHZ_JTI_HEADER must be the name of a header, such as X-Token-Id: letters, digits and hyphens, and not Authorization",
      "AUTHZ_METHOD_HEADER must be the name of a header, such as X-Token-Id: letters, digits and hyphens, and not Authorization",
      "UNVERIFIED_BEARER must be on or off",
      "MISSING_JTI must be deny or allow",
      "AUTHZ_PREFLIGHT must be deny or allow",
      "AUTHZ_MAX_STALENESS must be between 0 and 1h",
    ]);
  });

  it("need a source of the token", () => {
    expect(problemsOf({ AUTHZ_ADDRESS: "127.0.0.1:9465" })).to.deep.equal([
      "AUTHZ_ADDRESS needs AUTHZ_JTI_HEADER or UNVERIFIED_BEARER=on: otherwise no request has a token to check",
    ]);
    readConfig({ AUTHZ_ADDRESS: "127.0.0.1:9465", UNVERIFIED_BEARER: "on" });
    readConfig({ EXT_AUTHZ: "on" });
  });

  for (const name of ["authorization", "X_Token", "x:y", "a".repeat(65)]) {
    it(`refuse the header name ${name.slice(0, 20)}`, () => {
      expect(problemsOf({ ...ADDRESS, AUTHZ_JTI_HEADER: name })[0]).to.match(/^AUTHZ_JTI_HEADER must be/);
    });
  }

  it("are refused without effect", () => {
    const env = {
      UNVERIFIED_BEARER: "on",
      MISSING_JTI: "deny",
      AUTHZ_PREFLIGHT: "allow",
      AUTHZ_MAX_STALENESS: "1s",
      AUTHZ_JTI_HEADER: "x",
    };
    const idle = ["UNVERIFIED_BEARER", "MISSING_JTI", "AUTHZ_PREFLIGHT", "AUTHZ_MAX_STALENESS"].map(
      (name) => `${name} needs EXT_AUTHZ=on or AUTHZ_ADDRESS`,
    );
    const header = "AUTHZ_JTI_HEADER needs AUTHZ_ADDRESS";
    expect([problemsOf(env), problemsOf({ ...env, EXT_AUTHZ: "on" })]).to.deep.equal([
      [header, ...idle],
      [header],
    ]);
  });

  it("refuse a method header if nothing depends on the method", () => {
    const problem =
      "AUTHZ_METHOD_HEADER needs AUTHZ_PREFLIGHT=allow: the method is only used to recognize preflights";
    expect(problemsOf({ ...ADDRESS, AUTHZ_METHOD_HEADER: "X-Forwarded-Method" })).to.deep.equal([problem]);
    expect(problemsOf({ EXT_AUTHZ: "on", AUTHZ_PREFLIGHT: "allow", AUTHZ_METHOD_HEADER: "x" })).to.deep.equal(
      ["AUTHZ_METHOD_HEADER needs AUTHZ_ADDRESS"],
    );
  });

  it("require a loopback address, unless INSECURE is set", () => {
    const problem =
      "AUTHZ_ADDRESS must be a loopback address, since it does not authenticate callers, unless INSECURE=yes";
    for (const AUTHZ_ADDRESS of ["0.0.0.0:9465", "[::]:9465", "authz.internal:9465"]) {
      expect(problemsOf({ ...ADDRESS, AUTHZ_ADDRESS })).to.deep.equal([problem]);
      expect(readConfig({ ...ADDRESS, AUTHZ_ADDRESS, INSECURE: "yes" }).authz.insecure).to.equal(true);
    }
    expect(readConfig({ ...ADDRESS, INSECURE: "yes" }).authz.insecure).to.equal(false);
    expect(problemsOf({ INSECURE: "maybe" })).to.deep.equal(["INSECURE must be yes or no"]);
  });
});
