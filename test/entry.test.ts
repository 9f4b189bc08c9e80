import { expect } from "chai";
import fc from "fast-check";
import { jtiProblem, parseJti, textProblem } from "../src/entry.ts";

const TOO_LONG = "must be at most 255 bytes of UTF-8";
const ILL_FORMED = "must be well-formed Unicode";
const HAS_NUL = "must not contain NUL";

describe("a jti", () => {
  const GOOD = {
    "one byte": "a",
    "one space": " ",
    "255 bytes of ASCII": "a".repeat(255),
    "255 bytes in characters of two": `${"é".repeat(127)}a`,
    "255 bytes in characters of three": "ａ".repeat(85),
    "255 bytes in characters of four": `${"😀".repeat(63)}abc`,
    "a replacement character": "\uFFFD",
    "a byte-order mark": "\uFEFFa",
    "control characters": "\u0001\n\t\u007f",
    "a combining mark first": "\u0301",
  };
  for (const [what, text] of Object.entries(GOOD)) {
    it(`may be ${what}, unchanged`, () => {
      expect([jtiProblem(text), parseJti(text)]).to.deep.equal([undefined, text]);
    });
  }

  const BAD = {
    empty: ["", "must not be empty"],
    "256 bytes of ASCII": ["a".repeat(256), TOO_LONG],
    "256 bytes in characters of two": ["é".repeat(128), TOO_LONG],
    "256 bytes in characters of three": [`${"ａ".repeat(85)}a`, TOO_LONG],
    "256 bytes in characters of four": ["😀".repeat(64), TOO_LONG],
    "a high surrogate alone": ["\uD800", ILL_FORMED],
    "a low surrogate alone": ["\uDC00", ILL_FORMED],
    "surrogates in the wrong order": ["\uDE00\uD83D", ILL_FORMED],
    "a high surrogate last": ["abc\uDBFF", ILL_FORMED],
    "half of a pair beside a whole one": ["😀\uD83D", ILL_FORMED],
    "NUL alone": ["\0", HAS_NUL],
    "NUL last": ["abc\0", HAS_NUL],
    "NUL within 255 bytes": [`\0${"a".repeat(254)}`, HAS_NUL],
  } satisfies Record<string, [string, string]>;
  for (const [what, [text, problem]] of Object.entries(BAD)) {
    it(`may not be ${what}`, () => {
      expect(jtiProblem(text)).to.equal(problem);
      expect(() => parseJti(text)).to.throw(RangeError, `jti ${problem}`);
    });
  }

  it("is valid exactly if it is well-formed, has 1 to 255 bytes of UTF-8, and no NUL", () => {
    const unit = fc.oneof(
      fc.constantFrom("a", "\0", "é", "ａ", "😀", "\uD83D", "\uDE00"),
      fc.string({ unit: "binary", minLength: 1, maxLength: 1 }),
    );
    const runs = fc.array(fc.tuple(unit, fc.integer({ min: 1, max: 130 })), { maxLength: 3 });
    fc.assert(
      fc.property(runs, (parts) => {
        const text = parts.map(([repeated, times]) => repeated.repeat(times)).join("");
        const bytes = Buffer.from(text);
        const good =
          bytes.length >= 1 && bytes.length <= 255 && !bytes.includes(0) && bytes.toString() === text;
        expect(jtiProblem(text) === undefined).to.equal(good);
      }),
      { numRuns: 300 },
    );
  });
});

describe("textProblem", () => {
  it("accepts an empty text, and counts bytes exactly", () => {
    const texts = ["", "a".repeat(512), "a".repeat(513), "😀".repeat(128), `${"😀".repeat(128)}a`];
    expect(texts.map((text) => textProblem(text, 512))).to.deep.equal([
      undefined,
      undefined,
      "must be at most 512 bytes of UTF-8",
      undefined,
      "must be at most 512 bytes of UTF-8",
    ]);
  });
});
