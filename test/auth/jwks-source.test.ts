import { expect } from "chai";
import { parseJwksUrl, parseTokenIssuers } from "../../src/auth/jwks-source.ts";
import { thrownBy } from "../support/rejection.ts";

describe("parseJwksUrl", () => {
  for (const url of [
    "https://id.example/.well-known/jwks.json",
    "https://id.example:8443/keys?tenant=7",
    "http://localhost:8080/keys",
    "http://127.0.0.1/keys",
    "http://127.8.9.10/keys",
    "http://[::1]:8080/keys",
  ]) {
    it(`accepts ${url}`, () => {
      expect(parseJwksUrl(url)).to.deep.equal({ kind: "url", url });
    });
  }

  const REFUSED = {
    "http://id.example/keys": "must begin with https:// (http:// only for loopback addresses)",
    "http://10.0.0.7/keys": "must begin with https:// (http:// only for loopback addresses)",
    "http://0.0.0.0/keys": "must begin with https:// (http:// only for loopback addresses)",
    "http://localhost.evil.example/keys": "must begin with https:// (http:// only for loopback addresses)",
    "http://127.0.0.1.evil.example/keys": "must begin with https:// (http:// only for loopback addresses)",
    "http://[::ffff:10.0.0.7]/keys": "must begin with https:// (http:// only for loopback addresses)",
    "file:///etc/keys.json": "must begin with https:// (http:// only for loopback addresses)",
    "ftp://localhost/keys": "must begin with https:// (http:// only for loopback addresses)",
    'data:application/json,{"keys":[]}': "must begin with https:// (http:// only for loopback addresses)",
    "https://app:c4n4ry@id.example/keys": "must not contain a user name or a password",
    "https://c4n4ry@id.example/keys": "must not contain a user name or a password",
    "http://127.0.0.1@evil.example/keys": "must not contain a user name or a password",
    "id.example/keys": "must be a URL",
    "https://": "must be a URL",
    "/c4n4ry": "must be a URL",
    "": "must be a URL",
  };
  for (const [url, message] of Object.entries(REFUSED)) {
    it(`refuses ${JSON.stringify(url)} without repeating it`, () => {
      const error = thrownBy(() => parseJwksUrl(url)) as Error;
      expect(error).to.be.instanceOf(RangeError).and.include({ message });
      expect(error.cause).to.equal(undefined);
    });
  }
});

describe("parseTokenIssuers", () => {
  it("reads pairs from URLs and files, separated by white space", () => {
    expect(
      parseTokenIssuers(
        " https://id.example=https://id.example/jwks.json\n\thttps://b.example/=file:/etc/keys=1.json ",
      ),
    ).to.deep.equal([
      { issuer: "https://id.example", keys: { kind: "url", url: "https://id.example/jwks.json" } },
      { issuer: "https://b.example/", keys: { kind: "file", path: "/etc/keys=1.json" } },
    ]);
  });

  it("accepts any text as an issuer, including an equals sign", () => {
    expect(
      parseTokenIssuers(
        "accounts=https://a.example/keys https://id.example/?tenant=7=https://id.example/keys?tenant=7",
      ),
    ).to.deep.equal([
      { issuer: "accounts", keys: { kind: "url", url: "https://a.example/keys" } },
      {
        issuer: "https://id.example/?tenant=7",
        keys: { kind: "url", url: "https://id.example/keys?tenant=7" },
      },
    ]);
  });

  it("distinguishes issuers byte for byte", () => {
    const text = "https://a.example=file:/1 https://a.example/=file:/2 https://A.example=file:/3";
    expect(parseTokenIssuers(text).map(({ issuer }) => issuer)).to.deep.equal([
      "https://a.example",
      "https://a.example/",
      "https://A.example",
    ]);
  });

  it("reads an empty text as no issuers", () => {
    expect(parseTokenIssuers(" \n")).to.deep.equal([]);
  });

  const GOOD = "https://a.example=https://a.example/keys";
  const NO_PAIR = "must be pairs such as https://id.example=https://id.example/jwks.json: pair";
  const REFUSED = {
    "https://c4n4ry.example": `${NO_PAIR} 1 is not`,
    [`${GOOD} c4n4ry`]: `${NO_PAIR} 2 is not`,
    [`${GOOD} =https://c4n4ry.example/keys`]: `${NO_PAIR} 2 is not`,
    [`${GOOD} https://c4n4ry.example=`]: `${NO_PAIR} 2 is not`,
    [`${GOOD} https://c4n4ry.example=/etc/keys.json`]: `${NO_PAIR} 2 is not`,
    [`${GOOD} https://c4n4ry.example=ftp://b.example/keys`]: `${NO_PAIR} 2 is not`,
    [`${GOOD} b=http://c4n4ry.example/keys`]:
      "pair 2: the key set's URL must begin with https:// (http:// only for loopback addresses)",
    [`b=https://user:c4n4ry@b.example/ ${GOOD}`]:
      "pair 1: the key set's URL must not contain a user name or a password",
    [`${GOOD} b=https://[c4n4ry`]: "pair 2: the key set's URL must be a URL",
    [`${GOOD} https://a.example=https://c4n4ry.example/keys`]: "names one issuer twice",
  };
  for (const [text, message] of Object.entries(REFUSED)) {
    it(`refuses ${text}, naming its position without repeating it`, () => {
      const error = thrownBy(() => parseTokenIssuers(text)) as Error;
      expect(error).to.be.instanceOf(RangeError).and.include({ message });
    });
  }
});
