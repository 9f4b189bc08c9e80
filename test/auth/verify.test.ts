import { createHmac, createPublicKey, KeyObject, sign } from "node:crypto";
import { expect } from "chai";
import { CompactEncrypt, importJWK, type JWK } from "jose";
import { DEFAULT_ALGORITHMS, parseAlgorithms } from "../../src/auth/algorithms.ts";
import { JwksCache, UNKNOWN_KEY_RELOAD_MS } from "../../src/auth/jwks-cache.ts";
import {
  InvalidTokenError,
  isAcceptedType,
  isSecurityEvent,
  unverifiedClaims,
  verifiedClaims,
} from "../../src/auth/verify.ts";
import { MAX_JWT_BYTES } from "../../src/limits.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { createSigningKey, KeyServer, keySetOf, type SigningKey, signToken } from "../support/issuer.ts";
import { memoryLog } from "../support/memory-log.ts";
import { reasonOf, rejection, thrownBy } from "../support/rejection.ts";

const CLAIMS = { iss: "https://id.example", sub: "c4n4ry" };
const UNSIGNED = "must be signed: its algorithm is none";
const SHARED_SECRET = "must be signed with a private key, not with a shared secret";
const ALGORITHM = "is signed with an algorithm that is not accepted";
const ACCEPTED = parseAlgorithms(DEFAULT_ALGORITHMS).join(" or ");
const KID = "must have a kid that is text";
const NO_SUCH_KEY = "is signed with a key that is not in its issuer's key set";
const SIGNATURE = "has a signature that its issuer's keys do not verify";
const CRITICAL = "has a critical header parameter that is not supported";
const ENCRYPTED = "must be signed, not encrypted";
const PARTS = "must be a signed JWT: three parts with dots between them";
const HEADER = "must begin with a header in JSON";
const MALFORMED = "must be a well-formed JWT";
const NO_JSON = "must have claims in JSON";
const OTHER_TYPE = "must be an access, refresh or ID token: the typ in its header is of another kind";
const SECURITY_EVENT =
  "must be an access, refresh or ID token: its events claim makes it a logout token or another security event";
const NO_OBJECT = "must have claims in a JSON object";

type Text = object | string | Uint8Array;

describe("verifiedClaims", () => {
  let es: SigningKey;
  let rsa: SigningKey;
  let ed: SigningKey;
  let attacker: SigningKey;
  let server: KeyServer;
  let clock: FakeClock;
  let opened: JwksCache[];

  before(async () => {
    [es, rsa, ed, attacker] = await Promise.all([
      createSigningKey("es"),
      createSigningKey("rsa", "RS256"),
      createSigningKey("ed", "EdDSA"),
      createSigningKey("es"),
    ]);
  });

  beforeEach(async () => {
    clock = new FakeClock();
    opened = [];
    server = await KeyServer.start(es, rsa, ed);
  });

  afterEach(async () => {
    for (const keys of opened) keys.stop();
    await server.stop();
  });

  function keySet(): JwksCache {
    const source = { kind: "url", url: server.url } as const;
    const keys = new JwksCache({ source, name: "issuer", clock, log: memoryLog().log });
    opened.push(keys);
    keys.start();
    return keys;
  }

  function verify(token: string, algorithms = DEFAULT_ALGORITHMS, keys = keySet()) {
    return verifiedClaims(token, { keys, algorithms: parseAlgorithms(algorithms) });
  }

  /** The message of the refusal. */
  async function refusal(token: string, algorithms?: string): Promise<string> {
    const error = (await rejection(verify(token, algorithms))) as Error;
    expect(error).to.be.instanceOf(InvalidTokenError);
    expect([Object.keys(error), error.cause]).to.deep.equal([["name"], undefined]);
    return error.message;
  }

  const refusedUnverified = (token: string) => (thrownBy(() => unverifiedClaims(token)) as Error).message;

  describe("returns the claims", () => {
    for (const alg of DEFAULT_ALGORITHMS.split(" ")) {
      it(`of a token signed with ${alg}`, async () => {
        const key = await createSigningKey("new", alg);
        server.body = keySetOf(es, key);
        expect(await verify(await signToken(key, CLAIMS))).to.deep.equal(CLAIMS);
      });
    }

    it("of a token signed with another configured algorithm", async () => {
      const key = await createSigningKey("new", "ES384");
      server.body = keySetOf(key);
      const token = await signToken(key, CLAIMS);
      expect([await refusal(token), await verify(token, "ES384")]).to.deep.equal([
        `${ALGORITHM} (ES384): it must be ${ACCEPTED}`,
        CLAIMS,
      ]);
    });

    for (const algorithms of ["EdDSA", "Ed25519"]) {
      it(`of a token signed with EdDSA or Ed25519 by a key of either name if ${algorithms} is accepted`, async () => {
        for (const published of ["EdDSA", "Ed25519", undefined]) {
          server.body = JSON.stringify({ keys: [{ ...ed.publicJwk, alg: published }] });
          for (const alg of ["EdDSA", "Ed25519"]) {
            expect(await verify(forge({ alg, kid: "ed" }, CLAIMS, ed), algorithms)).to.deep.equal(CLAIMS);
          }
        }
      });
    }

    it("without validating any", async () => {
      const claims = { iss: 7, aud: null, exp: 1, nbf: 9e15, jti: {}, typ: [] };
      expect(await verify(forge({}, claims))).to.deep.equal(claims);
    });

    it("of a token whose typ is compatible", async () => {
      for (const header of [{ typ: "at+jwt" }, { typ: "Custom" }, { typ: 7 }, { cty: "x" }, { b64: false }]) {
        expect(await verify(forge(header, CLAIMS))).to.deep.equal(CLAIMS);
      }
    });

    it("with the last of duplicate members, as the look-up of the issuer's keys reads them", async () => {
      const token = forge({}, '{"iss":"a","iss":"b"}');
      expect([await verify(token), unverifiedClaims(token)]).to.deep.equal([{ iss: "b" }, { iss: "b" }]);
    });

    it("from own properties, not from a prototype", async () => {
      const claims = await verify(forge({}, '{"__proto__":{"iss":"https://id.example"}}'));
      expect([claims.iss, ({} as { iss?: unknown }).iss]).to.deep.equal([undefined, undefined]);
    });

    it("of a token without a kid, signed with any of several keys", async () => {
      const others = await Promise.all([createSigningKey("one"), createSigningKey("two")]);
      server.body = keySetOf(...others);
      for (const key of others) {
        expect(await verify(await signToken(key, CLAIMS, { kid: undefined }))).to.deep.equal(CLAIMS);
      }
      expect(await refusal(await signToken(es, CLAIMS, { kid: undefined }))).to.equal(SIGNATURE);
    });

    it("of a token whose kid several keys have", async () => {
      server.body = keySetOf(attacker, es);
      expect(await verify(forge({}, CLAIMS))).to.deep.equal(CLAIMS);
    });

    it("of a token whose key set also has an unusable key", async () => {
      server.body = JSON.stringify({ keys: [{ ...es.publicJwk, x: "AAAA" }, es.publicJwk] });
      expect(await verify(forge({ kid: undefined }, CLAIMS))).to.deep.equal(CLAIMS);
    });
  });

  describe("refuses", () => {
    it("a token whose typ is of another kind", async () => {
      for (const typ of ["logout+jwt", "application/secevent+jwt", "DPoP+JWT", "vc+sd-jwt"]) {
        const token = forge({ typ }, CLAIMS);
        expect([await refusal(token), refusedUnverified(token)]).to.deep.equal([OTHER_TYPE, OTHER_TYPE]);
      }
    });

    it("a logout token without a typ", async () => {
      const events = { "http://schemas.openid.net/event/backchannel-logout": {} };
      for (const header of [{}, { typ: "JWT" }, { typ: "at+jwt" }]) {
        const token = forge(header, { ...CLAIMS, jti: "j", sid: "s", events });
        expect([await refusal(token), refusedUnverified(token)]).to.deep.equal([
          SECURITY_EVENT,
          SECURITY_EVENT,
        ]);
      }
    });

    for (const alg of ["none", "None", "NONE", "nOnE"]) {
      it(`a token whose algorithm is ${alg}, with or without a signature`, async () => {
        for (const signature of ["", "c2ln"]) {
          expect(await refusal(`${encode({ alg, kid: "es" })}.${encode(CLAIMS)}.${signature}`)).to.equal(
            UNSIGNED,
          );
        }
      });
    }

    for (const alg of [
      " none",
      "none ",
      "none\0",
      "",
      null,
      undefined,
      5,
      true,
      ["ES256"],
      { alg: "ES256" },
      "es256",
    ]) {
      it(`a token whose algorithm is ${JSON.stringify(alg) ?? "absent"}`, async () => {
        const refused = `${ALGORITHM}: it must be ${ACCEPTED}`;
        expect([await refusal(forge({ alg }, CLAIMS)), await refusal(unsigned({ alg }))]).to.deep.equal([
          refused,
          refused,
        ]);
      });
    }

    for (const alg of ["HS256", "HS384", "HS512", "hs256"]) {
      it(`a token whose ${alg} was made with the public key as a shared secret`, async () => {
        for (const { kid, publicJwk } of [rsa, es]) {
          const key = createPublicKey({ key: publicJwk, format: "jwk" });
          for (const secret of [
            key.export({ type: "spki", format: "pem" }),
            String(key.export({ type: "spki", format: "pem" })).trim(),
            key.export({ type: "spki", format: "der" }),
            JSON.stringify(publicJwk),
            Buffer.from((publicJwk.n ?? publicJwk.x) as string, "base64url"),
            "",
          ]) {
            expect(await refusal(mac({ alg, kid }, secret))).to.equal(SHARED_SECRET);
          }
        }
      });
    }

    it("a shared secret in the key set", async () => {
      const secret = Buffer.alloc(32, 7);
      const k = secret.toString("base64url");
      for (const alg of ["HS256", "ES256"]) {
        server.body = JSON.stringify({ keys: [{ kty: "oct", kid: "oct", k, alg }, es.publicJwk] });
        const token = mac({ alg, kid: "oct" }, secret);
        if (alg === "HS256") expect(await refusal(token)).to.equal(SHARED_SECRET);
        else expect(await reasonOf(verify(token))).to.equal("KEYS_UNAVAILABLE");
      }
    });

    it("an algorithm that is not configured, even with a valid signature", async () => {
      for (const [key, others] of [
        [es, "RS256 PS256 EdDSA"],
        [rsa, "PS256 ES256 EdDSA"],
        [ed, "ES256 RS256 PS256"],
      ] as const) {
        expect(await refusal(await signToken(key, CLAIMS), others)).to.equal(
          `${ALGORITHM} (${key.alg}): it must be ${parseAlgorithms(others).join(" or ")}`,
        );
      }
    });

    it("an algorithm that the issuer advertises but this service does not accept, named if registered", async () => {
      for (const [alg, name] of [
        ["ES256K", " (ES256K)"],
        ["ES384", " (ES384)"],
        ["Ed448", " (Ed448)"],
        ["ML-DSA-65", " (ML-DSA-65)"],
        ["c4n4ry", ""],
      ]) {
        expect(await refusal(forge({ alg }, CLAIMS))).to.equal(`${ALGORITHM}${name}: it must be ${ACCEPTED}`);
      }
    });

    it("a key used with another algorithm than its own", async () => {
      expect([
        await refusal(forge({ alg: "ES256", kid: "rsa" }, CLAIMS)),
        await refusal(forge({ alg: "RS256", kid: "es" }, CLAIMS)),
        await refusal(forge({ alg: "PS256", kid: "rsa" }, CLAIMS, rsa)),
        await refusal(forge({ alg: "EdDSA", kid: "es" }, CLAIMS)),
      ]).to.deep.equal([NO_SUCH_KEY, NO_SUCH_KEY, NO_SUCH_KEY, NO_SUCH_KEY]);
    });

    it("a signature of another algorithm by a key that is not bound to one", async () => {
      server.body = JSON.stringify({ keys: [{ ...rsa.publicJwk, alg: undefined }] });
      expect([
        await refusal(forge({ alg: "PS256", kid: "rsa" }, CLAIMS, rsa)),
        await refusal(forge({ alg: "ES256", kid: "rsa" }, CLAIMS)),
        await verify(forge({ alg: "RS256", kid: "rsa" }, CLAIMS, rsa)),
      ]).to.deep.equal([SIGNATURE, NO_SUCH_KEY, CLAIMS]);
    });

    it("a key that its issuer uses for encryption", async () => {
      for (const purpose of [{ use: "enc" }, { key_ops: ["encrypt"] }, { alg: "ECDH-ES" }]) {
        server.body = JSON.stringify({ keys: [{ ...es.publicJwk, ...purpose }, ed.publicJwk] });
        expect(await refusal(forge({}, CLAIMS))).to.equal(NO_SUCH_KEY);
      }
    });

    for (const crit of [["x"], ["exp"], ["b64"], ["alg"], [], [7], "b64", null, false, {}]) {
      it(`a critical header, ${JSON.stringify(crit)}`, async () => {
        expect(await refusal(forge({ crit, x: 1, exp: 9e9, b64: true }, CLAIMS))).to.equal(CRITICAL);
      });
    }

    it("an unencoded payload", async () => {
      const header = encode({ alg: "ES256", kid: "es", b64: false, crit: ["b64"] });
      for (const payload of [encode(CLAIMS), '{"sub":"c4n4ry"}']) {
        const token = `${header}.${payload}.${signatureOf(`${header}.${payload}`, es)}`;
        expect(await refusal(token)).to.equal(CRITICAL);
      }
    });

    it("an encrypted token, and one that was signed before encryption", async () => {
      const key = await importJWK({ ...rsa.publicJwk, alg: "RSA-OAEP-256" }, "RSA-OAEP-256");
      for (const inner of [JSON.stringify(CLAIMS), forge({}, CLAIMS)]) {
        const token = await new CompactEncrypt(Buffer.from(inner))
          .setProtectedHeader({ alg: "RSA-OAEP-256", enc: "A256GCM", kid: "rsa", cty: "JWT" })
          .encrypt(key);
        expect(await refusal(token)).to.equal(ENCRYPTED);
      }
    });

    it("an encrypted token that claims to be signed", async () => {
      expect([await refusal(`${forge({}, CLAIMS)}..`), await refusal("....")]).to.deep.equal([
        ENCRYPTED,
        ENCRYPTED,
      ]);
    });

    it("text without three parts", async () => {
      const token = forge({}, CLAIMS);
      for (const text of ["", "c4n4ry", ".", "a.b", `${token}.`, `.${token}`, `${token}.x.y.z`]) {
        expect(await refusal(text), text).to.equal(PARTS);
      }
    });

    it("a token whose header is not a JSON object", async () => {
      const [, payload, signature] = forge({}, CLAIMS).split(".");
      const odd = Buffer.from([0x7b, 0xff, 0x7d]);
      for (const header of [
        "",
        "%%",
        "c4n4ry",
        encode("["),
        encode("[]"),
        encode('"x"'),
        encode("null"),
        encode(odd),
      ]) {
        expect(await refusal(`${header}.${payload}.${signature}`), header).to.equal(HEADER);
      }
      expect(await refusal("..")).to.equal(HEADER);
    });

    it("a key that the token itself contains or links to", async () => {
      const elsewhere = await KeyServer.start(attacker);
      try {
        const jku = elsewhere.url;
        const brought: object[] = [
          { jwk: attacker.publicJwk },
          { jku },
          { x5u: jku },
          { x5c: ["MIIB"] },
          { jwk: attacker.publicJwk, jku, x5u: jku, x5t: "x" },
        ];
        for (const header of brought) {
          expect(await refusal(forge({ ...header, kid: "c4n4ry" }, CLAIMS, attacker))).to.equal(NO_SUCH_KEY);
          expect(await refusal(forge({ ...header, kid: "es" }, CLAIMS, attacker))).to.equal(SIGNATURE);
          expect(await refusal(forge({ ...header, kid: undefined }, CLAIMS, attacker))).to.equal(SIGNATURE);
          expect(await verify(forge(header, CLAIMS))).to.deep.equal(CLAIMS);
        }
        expect(elsewhere.requests).to.equal(0);
      } finally {
        await elsewhere.stop();
      }
    });

    for (const kid of [
      "../../../dev/null",
      "x' UNION SELECT 'key",
      "__proto__",
      "",
      "ES",
      "es ",
      7,
      null,
      ["es"],
      { kid: "es" },
    ]) {
      it(`a kid that is ${JSON.stringify(kid)}`, async () => {
        expect(await refusal(forge({ kid }, CLAIMS))).to.equal(typeof kid === "string" ? NO_SUCH_KEY : KID);
      });
    }

    it("the signature of another key", async () => {
      expect(await refusal(forge({}, CLAIMS, attacker))).to.equal(SIGNATURE);
    });

    it("a payload or header that was changed after signing", async () => {
      const [header, payload, signature] = forge({}, CLAIMS).split(".");
      expect([
        await refusal(`${header}.${encode({ ...CLAIMS, sub: "admin" })}.${signature}`),
        await refusal(`${encode({ alg: "ES256", kid: "es", x: 1 })}.${payload}.${signature}`),
        await refusal(`${header}..${signature}`),
      ]).to.deep.equal([SIGNATURE, SIGNATURE, SIGNATURE]);
    });

    it("a truncated, removed or extended signature", async () => {
      const [header, payload, signature = ""] = forge({}, CLAIMS).split(".");
      for (const cut of [
        "",
        signature.slice(0, -4),
        signature.slice(4),
        signature.repeat(2),
        `${signature}AAAA`,
      ]) {
        expect(await refusal(`${header}.${payload}.${cut}`)).to.equal(SIGNATURE);
      }
    });

    it("a token with extra text before, within or after it", async () => {
      const token = forge({}, CLAIMS);
      const [header = "", payload, signature] = token.split(".");
      const texts = [`${token}\0`, `${token}%`, `${header}.${payload}.=${signature}`, `${token}==c4n4ry`];
      for (const text of texts) expect(await refusal(text), text).to.equal(MALFORMED);
      for (const text of [`\uFEFF${token}`, `"${token}"`, `Bearer ${token}`]) {
        expect(await refusal(text), text).to.equal(HEADER);
      }
      expect(await refusal(`${header}.\n${payload}.${signature}`)).to.equal(SIGNATURE);
    });

    it("signatures that some verifiers accept for any key: zeros, and the curve's order", async () => {
      const order = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
      const zero = "0".repeat(64);
      const one = zero.replace(/0$/, "1");
      const [header, payload, genuine = ""] = forge({}, CLAIMS).split(".");
      const r = Buffer.from(genuine, "base64url").toString("hex").slice(0, 64);
      for (const hex of [
        zero + zero,
        order + order,
        zero + one,
        one + zero,
        r + zero,
        zero + r,
        "3006020100020100",
      ]) {
        const signature = Buffer.from(hex, "hex").toString("base64url");
        expect(await refusal(`${header}.${payload}.${signature}`), hex).to.equal(SIGNATURE);
      }
    });

    it("a valid ECDSA signature in the wrong encoding", async () => {
      const signingInput = `${encode({ alg: "ES256", kid: "es" })}.${encode(CLAIMS)}`;
      const der = sign("sha256", Buffer.from(signingInput), { key: privateKeyOf(es), dsaEncoding: "der" });
      expect(await refusal(`${signingInput}.${der.toString("base64url")}`)).to.equal(SIGNATURE);
    });

    it("an EdDSA signature of zeros", async () => {
      const signature = Buffer.alloc(64).toString("base64url");
      expect(await refusal(`${encode({ alg: "EdDSA", kid: "ed" })}.${encode(CLAIMS)}.${signature}`)).to.equal(
        SIGNATURE,
      );
    });

    it("an EdDSA key that validates every signature, and an RSA key that is too short", async () => {
      const weak: Record<string, JWK> = {
        EdDSA: {
          kty: "OKP",
          crv: "Ed25519",
          x: Buffer.from([1, ...Array(31).fill(0)]).toString("base64url"),
        },
        RS256: { kty: "RSA", e: "AQAB", n: Buffer.alloc(128, 0xff).toString("base64url") },
      };
      for (const [alg, jwk] of Object.entries(weak)) {
        server.body = JSON.stringify({ keys: [{ ...jwk, kid: "weak" }] });
        const token = `${encode({ alg, kid: "weak" })}.${encode(CLAIMS)}.${"A".repeat(171)}`;
        const expected = alg === "RS256" ? { reason: "KEYS_UNAVAILABLE" } : { name: "InvalidTokenError" };
        expect(await rejection(verify(token)), alg).to.include(expected);
      }
    });

    it("claims that are not JSON or not UTF-8", async () => {
      const texts = [
        "",
        "{",
        "{'sub':1}",
        "{}{}",
        "\u0001",
        Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]),
      ];
      for (const text of texts) expect(await refusal(forge({}, text))).to.equal(NO_JSON);
      const surrogate = Buffer.from([0x7b, 0x22, 0xed, 0xa0, 0x80, 0x22, 0x3a, 0x31, 0x7d]);
      expect(await refusal(forge({}, surrogate))).to.equal(NO_JSON);
    });

    it("claims that are not an object", async () => {
      for (const text of ["null", "true", "7", '"c4n4ry"', "[]", '[{"sub":"c4n4ry"}]']) {
        expect(await refusal(forge({}, text)), text).to.equal(NO_OBJECT);
      }
    });

    it("more than 16 KiB, before parsing it", async () => {
      const longest = tokenOf(MAX_JWT_BYTES);
      expect(Object.keys(await verify(longest))).to.deep.equal(["pad"]);
      const tooLong = `must be at most ${MAX_JWT_BYTES} bytes`;
      expect(MAX_JWT_BYTES).to.equal(16 * 1024);
      for (const token of [tokenOf(MAX_JWT_BYTES + 1), ".".repeat(MAX_JWT_BYTES + 1), "é".repeat(2 ** 20)]) {
        expect(await refusal(token)).to.equal(tooLong);
        expect(() => unverifiedClaims(token)).to.throw(InvalidTokenError, tooLong);
      }
    });

    it("JSON nested as deeply as the size allows", async () => {
      const deep = "[".repeat(12_000);
      expect(await refusal(forge({}, deep))).to.equal(NO_JSON);
      expect(await refusal(`${encode(deep)}.e30.`)).to.equal(HEADER);
      const closed = `{"a":${"[".repeat(5000)}${"]".repeat(5000)}}`;
      expect(Object.keys(await verify(forge({}, closed)))).to.deep.equal(["a"]);
    });
  });

  describe("reports KEYS_UNAVAILABLE", () => {
    it("without a key set", async () => {
      server.status = 503;
      expect(await reasonOf(verify(forge({}, CLAIMS)))).to.equal("KEYS_UNAVAILABLE");
    });

    it("for a key published in an unusable form, or with its private part", async () => {
      const key = KeyObject.from(es.privateKey).export({ format: "jwk" });
      for (const jwk of [
        { ...es.publicJwk, x: "AAAA" },
        { ...es.publicJwk, x: undefined },
        { ...key, kid: "es" },
      ]) {
        server.body = JSON.stringify({ keys: [jwk] });
        expect(await reasonOf(verify(forge({}, CLAIMS)))).to.equal("KEYS_UNAVAILABLE");
      }
    });
  });

  it("does not read keys for a token that no key could validate", async () => {
    const keys = keySet();
    await verify(forge({}, CLAIMS), DEFAULT_ALGORITHMS, keys);
    clock.advance(UNKNOWN_KEY_RELOAD_MS);
    for (const token of [
      unsigned({ alg: "none" }),
      mac({ alg: "HS256", kid: "new" }, "x"),
      forge({ kid: "new", crit: ["x"] }, CLAIMS),
      forge({ kid: "new", alg: "ES512" }, CLAIMS),
      forge({ kid: "new" }, CLAIMS).padEnd(MAX_JWT_BYTES + 1, "A"),
    ]) {
      expect(await rejection(verify(token, DEFAULT_ALGORITHMS, keys))).to.be.instanceOf(InvalidTokenError);
    }
    expect(server.requests).to.equal(1);
  });

  /** A token with this header and payload, with a valid signature of `key` for any header. */
  function forge(header: object, payload: Text, key = es): string {
    const signingInput = `${encode({ alg: "ES256", kid: "es", ...header })}.${encode(payload)}`;
    return `${signingInput}.${signatureOf(signingInput, key)}`;
  }

  /** A token of exactly this length. */
  function tokenOf(length: number): string {
    for (const pad of ["", "x", "xx", "xxx"]) {
      const room = length - forge({ pad }, { pad: "" }).length;
      for (const count of [0, 1, 2, 3].map((less) => Math.floor((room / 4) * 3) - less)) {
        const token = forge({ pad }, { pad: "x".repeat(count) });
        if (token.length === length) return token;
      }
    }
    throw new Error(`no token is ${length} bytes long`);
  }
});

function encode(text: Text): string {
  const bytes = typeof text === "string" || text instanceof Uint8Array ? text : JSON.stringify(text);
  return Buffer.from(bytes as string).toString("base64url");
}

function privateKeyOf({ privateKey }: SigningKey): KeyObject {
  return KeyObject.from(privateKey);
}

function signatureOf(signingInput: string, key: SigningKey): string {
  const options = { key: privateKeyOf(key), dsaEncoding: "ieee-p1363" } as const;
  return sign(key.alg === "EdDSA" ? null : "sha256", Buffer.from(signingInput), options).toString(
    "base64url",
  );
}

function unsigned(header: object): string {
  return `${encode(header)}.${encode(CLAIMS)}.`;
}

function mac(header: { alg: string; kid: string }, secret: string | Buffer): string {
  const signingInput = `${encode(header)}.${encode(CLAIMS)}`;
  const hash = `sha${header.alg.slice(2)}`;
  return `${signingInput}.${createHmac(hash, secret).update(signingInput).digest("base64url")}`;
}

describe("isAcceptedType", () => {
  it("accepts the types of access, refresh and ID tokens, and an absent type", () => {
    const accepted = [
      ...[undefined, null, 7, [], "", "JWT", "jwt", "JOSE", "Bearer", "Custom", "access_token", "id_token"],
      ...["at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+JWT", "rt+jwt", "id+jwt"],
      ...["refresh_token+jwt", "application/okta-internal-at+jwt", "application/jwt"],
    ];
    expect(accepted.filter((typ) => !isAcceptedType(typ))).to.deep.equal([]);
  });

  it("refuses the media type of another kind, known or not, in any spelling", () => {
    const others = [
      ...["logout+jwt", "LOGOUT+JWT", "Logout+Jwt", "application/logout+jwt", " logout+jwt ", "secevent+jwt"],
      ...["dpop+jwt", "token-introspection+jwt", "oauth-authz-req+jwt", "vc+jwt", "kb+jwt", "vc+sd-jwt"],
      ...[
        "dc+sd-jwt",
        "client-authentication+jwt",
        "entity-statement+jwt",
        "of-tomorrow+jwt",
        "+jwt",
        "JOSE+JSON",
      ],
      ...["logout", "logout_token", "backchannel-logout", "secevent", "dpop", "passport"],
      ...["format+jwt", "not-an-access+jwt", "at+jwt+x", "at+sd-jwt"],
    ];
    expect(others.filter(isAcceptedType)).to.deep.equal([]);
  });
});

describe("isSecurityEvent", () => {
  const LOGOUT = "http://schemas.openid.net/event/backchannel-logout";

  it("recognizes an events claim whose members are named by URIs", () => {
    const events = [
      { [LOGOUT]: {} },
      { [LOGOUT]: null, more: 1 },
      [LOGOUT],
      { "https://schemas.openid.net/secevent/caep/event-type/session-revoked": {} },
      { "urn:ietf:params:scim:event:feed:add": {} },
    ];
    expect(events.filter((each) => !isSecurityEvent({ events: each }))).to.deep.equal([]);
  });

  it("ignores other events claims", () => {
    const events = [
      undefined,
      null,
      true,
      "signup",
      LOGOUT,
      7,
      [],
      {},
      ["a"],
      { created: 1 },
      [{ [LOGOUT]: {} }],
    ];
    expect(events.filter((each) => isSecurityEvent({ events: each }))).to.deep.equal([]);
  });
});
