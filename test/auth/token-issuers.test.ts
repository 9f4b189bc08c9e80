import { expect } from "chai";
import { parseTokenIssuers } from "../../src/auth/token-issuers.ts";
import { thrownBy } from "../support/rejection.ts";

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
