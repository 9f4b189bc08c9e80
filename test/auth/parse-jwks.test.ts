import { generateKeyPairSync } from "node:crypto";
import { expect } from "chai";
import type { JWK } from "jose";
import { classifyKey } from "../../src/auth/parse-jwks.ts";

const CANARY = "c4n4ry";
const ELSE = "other-purpose";

describe("classifyKey", () => {
  const jwkOf = (type: "rsa" | "ec" | "ed25519", options = {}) =>
    generateKeyPairSync(type as "rsa", options as { modulusLength: number }).publicKey.export({
      format: "jwk",
    }) as JWK;
  const rsa = jwkOf("rsa", { modulusLength: 2048 });
  const shortRsa = jwkOf("rsa", { modulusLength: 1024 });
  const ec = jwkOf("ec", { namedCurve: "P-256" });
  const bitcoin = jwkOf("ec", { namedCurve: "secp256k1" });
  const ed = jwkOf("ed25519");
  const privateEc = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ format: "jwk" });

  const problem = (key: unknown): string | undefined => {
    const judged = classifyKey(key);
    if (judged === ELSE) return ELSE;
    return "problem" in judged ? judged.problem : undefined;
  };

  it("accepts public signature keys with any further members, and keeps only the needed ones", () => {
    const more = { use: "sig", key_ops: ["verify"], ext: "odd", x5c: [CANARY], x5t: CANARY, iat: 7 };
    expect([rsa, ec].map((key) => classifyKey({ ...key, ...more, kid: "k", alg: undefined }))).to.deep.equal([
      { key: { ...rsa, kid: "k" } },
      { key: { ...ec, kid: "k" } },
    ]);
    expect(classifyKey({ ...rsa, alg: "PS512" })).to.deep.equal({ key: { ...rsa, alg: "PS512" } });
  });

  it("accepts either algorithm name for an Ed25519 key", () => {
    for (const alg of ["EdDSA", "Ed25519", undefined]) {
      expect(classifyKey({ ...ed, alg })).to.deep.equal({ key: ed });
    }
  });

  it("treats a kid that is not text as absent", () => {
    for (const kid of [7, null, ["k"]]) expect(classifyKey({ ...ec, kid })).to.deep.equal({ key: ec });
  });

  it("ignores keys for other purposes than signatures", () => {
    for (const key of [
      { ...rsa, use: "enc" },
      { ...ec, key_ops: ["deriveBits"] },
      { ...rsa, alg: "RSA-OAEP-256" },
      { ...ec, alg: "ECDH-ES+A128KW" },
      { kty: "OKP", crv: "X25519", x: "AAAA" },
    ]) {
      expect(problem(key)).to.equal(ELSE);
    }
  });

  const PROBLEMS: readonly [what: string, key: unknown, problem: string][] = [
    ["text", CANARY, "is not a JSON object"],
    ["a list", [ec], "is not a JSON object"],
    ["nothing", null, "is not a JSON object"],
    ["a shared secret", { kty: "oct", k: CANARY }, "is a shared secret, which must not be published"],
    ["a private key", privateEc, "contains a private key, which must not be published"],
    [
      "a private key for encryption",
      { ...privateEc, use: "enc" },
      "contains a private key, which must not be published",
    ],
    ["a part of one", { ...rsa, qi: CANARY }, "contains a private key, which must not be published"],
    ["an RSA key of 1024 bits", shortRsa, "is an RSA key of 1024 bits, and must have at least 2048"],
    ["a certificate alone", { kty: "RSA", x5c: [CANARY] }, "has a certificate (x5c) but no key parameters"],
    ["a certificate alone, of no type", { x5c: [CANARY] }, "has no kty"],
    [
      "a point that is on no curve",
      { ...ec, x: ec.y, y: ec.x },
      "has parameters that do not form a public key",
    ],
    ["numbers for text", { ...ec, x: 7 }, "has parameters that do not form a public key"],
    ["an unknown type", { kty: CANARY }, "has a kty that is not supported"],
    ["a curve of Bitcoin's", { ...bitcoin, alg: "ES256K" }, "has a crv that is not P-256 or P-384 or P-521"],
    ["a shared secret's algorithm", { ...rsa, alg: "HS256" }, "is for HS256, which is not supported"],
    ["an unknown algorithm", { ...rsa, alg: CANARY }, "is for an alg, which is not supported"],
    ["another type's algorithm", { ...rsa, alg: "ES256" }, "has an alg that does not fit its kty or crv"],
    ["another curve's algorithm", { ...ec, alg: "ES384" }, "has an alg that does not fit its kty or crv"],
    ["operations that are no list", { ...ec, key_ops: "verify" }, "has key_ops that are not a list"],
  ];
  for (const [what, key, expected] of PROBLEMS) {
    it(`explains the problem with ${what} without repeating it`, () => {
      expect(problem(key)).to.equal(expected);
    });
  }
});
