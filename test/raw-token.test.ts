import { randomUUID } from "node:crypto";
import { expect } from "chai";
import fc from "fast-check";
import { jtiProblem, storedJtiProblem } from "../src/entry.ts";
import { MAX_JWT_BYTES } from "../src/limits.ts";
import { isRawToken, withoutRawTokens } from "../src/raw-token.ts";
import { unsignedJwt } from "./support/unsigned-jwt.ts";

const part = (text: string) => Buffer.from(text).toString("base64url");
const header = (value: unknown) => part(JSON.stringify(value));
const TOKEN = unsignedJwt({ sub: "alice" });
const PROBLEM = "must be a token's jti claim, not the token itself";

describe("a raw token", () => {
  const TOKENS: Record<string, string> = {
    signed: TOKEN,
    unsigned: `${header({ alg: "none" })}.${header({ jti: "a" })}.`,
    "of nothing but a header and a dot": `${header({ alg: "none" })}.`,
    "with the shortest header": `${part('{"alg":0}')}.`,
    encrypted: `${header({ alg: "RSA-OAEP", enc: "A256GCM" })}.a.b.c.d`,
    "with more members, in any order": `${header({ typ: "at+jwt", kid: "ü", alg: "ES256" })}.a.b`,
    "with white space in its header": `${part(' \t\r\n{ "alg" : "ES256" }\n')}.a.b`,
    "with a line break first in its header": `${part('\n{"alg":"ES256"}')}.a.b`,
    "with a name of its header escaped": `${part('{"\\u0061lg":"ES256"}')}.a.b`,
    "with a byte-order mark in its header": `${part('\uFEFF{"alg":"ES256"}')}.a.b`,
    "with padding": `${Buffer.from('{"alg":"ES256"}').toString("base64")}.a.b`,
    "with a header in base64": `${Buffer.from('{"alg":"ES256","kid":"???>>>"}').toString("base64")}.a.b`,
    "longer than a jti may be": unsignedJwt({ sub: "alice".repeat(200) }),
    "as long as a token may be": TOKEN.padEnd(MAX_JWT_BYTES, "A"),
    "with a line break at its end": `${TOKEN}\n`,
    "with white space around it": ` \t${TOKEN}\r\n`,
    "with a byte-order mark before it": `\uFEFF${TOKEN}`,
    "in quotes": `"${TOKEN}"`,
    "in single quotes, with its scheme": `'Bearer ${TOKEN}'`,
    "after Bearer": `Bearer ${TOKEN}`,
    "after bearer, however written": `bEARER ${TOKEN}`,
    "after Bearer and any white space": `Bearer \t  ${TOKEN}`,
    "after Bearer and a space that is escaped": `Bearer%20${TOKEN}`,
    "after Bearer, in quotes": `Bearer "${TOKEN}"`,
    "after DPoP": `DPoP ${TOKEN}`,
    "after a header's name": `Authorization: Bearer ${TOKEN}`,
    "after Bearer twice": `Bearer Bearer ${TOKEN}`,
    "after the schemes of some frameworks": `JWT ${TOKEN}`,
    "after Token": `Token ${TOKEN}`,
    "after a cookie's or a form's name": `access_token=${TOKEN}`,
    "as a member of JSON": `{"id_token":"${TOKEN}"}`,
    "as another member": `"refresh-token": "${TOKEN}"`,
  };
  for (const [what, text] of Object.entries(TOKENS)) {
    it(`is recognized: ${what}`, () => {
      expect([isRawToken(text), jtiProblem(text)]).to.deep.equal([true, PROBLEM]);
    });
  }

  const JTIS: Record<string, string> = {
    "a UUID": "3f2b8c10-5a6e-4d0a-9a57-1f0f4f0f4f0f",
    "a UUID that begins as a token does": "e9d3a4b6-ab3c-4d0a-9a57-1f0f4f0f4f0f",
    "what only begins as a token does": "eyJ.x",
    "a header without a dot": header({ alg: "ES256" }),
    "a header without alg": `${header({ typ: "JWT" })}.a.b`,
    "a header with another spelling of alg": `${header({ ALG: "ES256" })}.a.b`,
    "an alg that is inherited": `${part('{"__proto__":{"alg":1}}')}.a.b`,
    "a list": `${header(["alg"])}.a.b`,
    "a string": `${header("alg")}.a.b`,
    "JSON that is cut off": `${part('{"alg":"ES256"')}.a.b`,
    "JSON that is not UTF-8": `${Buffer.from('{"alg":"\xff"}', "latin1").toString("base64url")}.a.b`,
    "a token in a second segment": `a.${TOKEN}`,
    "a word before a token": `x${TOKEN}`,
    "Bearer alone": "Bearer",
    "a word for tokens and a jti": "access_token.3f2b8c10",
    "Bearer and a jti": "Bearer 3f2b8c10.a",
    "a host's name": "auth-service-12345.example.org-7f3a",
    dots: "......................",
    "white space": " \t ",
  };
  for (const [what, text] of Object.entries(JTIS)) {
    it(`does not include ${what}`, () => {
      expect([isRawToken(text), jtiProblem(text)]).to.deep.equal([false, undefined]);
    });
  }

  it("is recognized by its header, with any content after it", () => {
    const members = fc.dictionary(fc.string({ unit: "grapheme" }), fc.jsonValue(), { maxKeys: 4 });
    const before = fc.constantFrom("", "Bearer ", "bearer\t", " ", "\n", '"', "Authorization: Bearer ");
    fc.assert(
      fc.property(before, members, fc.string(), fc.string(), (scheme, rest, alg, after) => {
        expect(isRawToken(`${scheme}${header({ ...rest, alg })}.${after}`)).to.equal(true);
      }),
      { numRuns: 500 },
    );
  });

  it("is not recognized without such a header: every other jti stays valid", () => {
    const alphabet = fc.constantFrom(..."eyJhbGciOiJFUzI1NiJ9.-_ IDCBbearer7");
    const text = fc.oneof(fc.string({ unit: alphabet, minLength: 1, maxLength: 60 }), fc.uuid());
    const says = (word: string) => {
      try {
        const value = JSON.parse(Buffer.from(word, "base64url").toString()) as unknown;
        return typeof value === "object" && value !== null && "alg" in value;
      } catch {
        return false;
      }
    };
    fc.assert(
      fc.property(text, (jti) => {
        const [first = "", ...more] = jti.split(".");
        fc.pre(more.length === 0 || !says(first.replace(/^(?:\W|bearer)*/i, "")));
        expect([isRawToken(jti), jtiProblem(jti)]).to.deep.equal([false, storedJtiProblem(jti)]);
      }),
      { numRuns: 2000 },
    );
    for (let count = 0; count < 10_000; count++) expect(isRawToken(randomUUID())).to.equal(false);
  });

  it("is redacted anywhere in a text, and nothing else is", () => {
    const texts: Record<string, string> = {
      [TOKEN]: "(a raw token)",
      [`Bearer ${TOKEN}`]: "Bearer (a raw token)",
      [`${TOKEN.slice(0, 10)}\n${TOKEN.slice(10)}`]: "(a raw token)",
      [`seen in a chat: ${TOKEN}, reported`]: "seen in a chat: (a raw token), reported",
      [`https://example.org/?access_token=${TOKEN}&a=b`]:
        "https://example.org/?access_token=(a raw token)&a=b",
      [`first ${TOKEN}\nthen '${TOKEN}'`]: "first (a raw token)\nthen '(a raw token)'",
      [`--${TOKEN}`]: "--(a raw token)",
      "laptop stolen at 10.11.12.13, see auth-service-12345.example.org":
        "laptop stolen at 10.11.12.13, see auth-service-12345.example.org",
      "eyJ.x": "eyJ.x",
    };
    const shown = Object.fromEntries(Object.keys(texts).map((text) => [text, withoutRawTokens(text)]));
    expect(shown).to.deep.equal(texts);
  });

  it("is decided quickly for hostile text", () => {
    const began = process.cpuUsage();
    for (const text of [
      " ".repeat(4e6),
      `${"Bearer ".repeat(2000)}.x`,
      `${"authorization:".repeat(1000)}.x`,
      `${part(`{"a":${"[".repeat(9000)}`)}.x`,
      `${"%20".repeat(5000)}.x`,
      `${"access_token".repeat(1000)}.x`,
      "a".repeat(16_000),
      `${"a".repeat(20)}.`.repeat(800),
    ]) {
      expect([isRawToken(text), withoutRawTokens(text) === text]).to.deep.equal([false, true]);
    }
    const { user } = process.cpuUsage(began);
    expect(user).to.be.lessThan(500_000);
  });
});
