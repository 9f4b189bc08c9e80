import { expect } from "chai";
import { DEFAULT_ALGORITHMS, parseAlgorithms } from "../../src/auth/algorithms.ts";

describe("parseAlgorithms", () => {
  it("reads names separated by spaces, commas or both, in order", () => {
    const expected = ["RS256", "ES256"];
    for (const text of ["RS256 ES256", "RS256,ES256", " RS256 ,\n ES256,"]) {
      expect(parseAlgorithms(text)).to.deep.equal(expected);
    }
  });

  it("accepts RS256, PS256, ES256 and EdDSA by default", () => {
    expect(parseAlgorithms(DEFAULT_ALGORITHMS)).to.deep.equal([
      ...["RS256", "PS256", "ES256", "EdDSA", "Ed25519"],
    ]);
  });

  it("treats EdDSA and Ed25519 as two names of one algorithm", () => {
    for (const [text, names] of [
      ["EdDSA", ["EdDSA", "Ed25519"]],
      ["Ed25519", ["Ed25519", "EdDSA"]],
      ["Ed25519 ES256 EdDSA", ["Ed25519", "EdDSA", "ES256"]],
      ["ES256", ["ES256"]],
    ] as const) {
      expect(parseAlgorithms(text)).to.deep.equal(names);
    }
  });

  it("knows every supported asymmetric signature algorithm", () => {
    const all = "RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA Ed25519";
    expect(parseAlgorithms(all)).to.deep.equal(all.split(" "));
  });

  for (const text of ["none", "None", "HS256", "HS384", "HS512", "ES256 HS256", "ES256 none", "es256"]) {
    it(`refuses ${text}, which is symmetric, unsigned or unsupported`, () => {
      expect(() => parseAlgorithms(text)).to.throw(RangeError, /^must be one or more of RS256, RS384, /);
    });
  }

  for (const text of ["", " ", ",", "RSA-OAEP", "dir", "ES256;RS256", "__proto__"]) {
    it(`refuses ${JSON.stringify(text)} without repeating it`, () => {
      const message =
        "must be one or more of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA, Ed25519";
      expect(() => parseAlgorithms(text)).to.throw(RangeError, new RegExp(`^${message}$`));
    });
  }
});
