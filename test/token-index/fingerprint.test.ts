import { expect } from "chai";
import fc from "fast-check";
import { jtiProblem } from "../../src/entry.ts";
import { Fingerprinter } from "../../src/token-index/fingerprint.ts";

const KEY = Uint8Array.from({ length: 32 }, (_, at) => at);
const fingerprinter = new Fingerprinter(KEY);

function printOf(jti: string | Uint8Array, from = fingerprinter): string {
  return hex(from.hash(jti));
}

function hex(words: Int32Array): string {
  return Array.from(words, (word) => (word >>> 0).toString(16).padStart(8, "0")).join(" ");
}

/** The fingerprint of an unchecked text; undefined if it is not a jti. */
function uncheckedPrintOf(text: string): string | undefined {
  const print = fingerprinter.hashIfKey(text);
  return print && hex(print);
}

function checkedPrintOf(text: string): string | undefined {
  return jtiProblem(text) === undefined ? printOf(Buffer.from(text)) : undefined;
}

const UUID = "0f8fad5b-d9cb-469f-a165-70867728950e";

/** Jtis that careless code would confuse. */
const ALIKE = [
  UUID,
  UUID.toUpperCase(),
  `{${UUID}}`,
  `urn:uuid:${UUID}`,
  UUID.replaceAll("-", ""),
  UUID.replace("0e", "0E"),
  `${UUID}\u0001`,
  UUID.slice(0, -1),
  UUID.replaceAll("-", "_"),
  "ABC",
  "abc",
  "é",
  "e\u0301",
  "\u00c3\u00a9",
  "ａ",
  "a",
  "a ",
  "\u0001",
  "\u0001\u0001",
  "a\u0001",
  "a".repeat(15),
  `${"a".repeat(15)}\u0001`,
  "a".repeat(16),
  "a".repeat(254),
  "a".repeat(255),
  "😀".repeat(63),
  "\uFEFFa",
  "\uFFFD",
];

const jti = fc.oneof(
  fc.string({ unit: "grapheme-ascii", minLength: 1, maxLength: 255 }),
  fc.string({ unit: "binary", minLength: 1, maxLength: 63 }),
  fc.uuid(),
);

describe("the fingerprint of a jti", () => {
  it("is the same for a text and its UTF-8, after any other fingerprint", () => {
    fc.assert(
      fc.property(jti, jti, (text, before) => {
        printOf(before);
        const print = printOf(text);
        printOf(before);
        return printOf(Buffer.from(text)) === print && printOf(new Uint8Array(Buffer.from(text))) === print;
      }),
    );
  });

  it("differs between similar jtis, and between a UUID's text and its 16 bytes", () => {
    const raw = Buffer.from(UUID.replaceAll("-", ""), "hex");
    const prints = [...ALIKE, raw].map((alike) => printOf(alike));
    expect(new Set(prints).size).to.equal(ALIKE.length + 1);
  });

  it("differs between any two jtis", () => {
    fc.assert(fc.property(jti, jti, (one, other) => (printOf(one) === printOf(other)) === (one === other)));
  });

  it("differs in all its words for a change of any one bit of the key", () => {
    const same: string[] = [];
    for (let bit = 0; bit < 256; bit++) {
      const key = KEY.slice();
      key[bit >> 3] = (key[bit >> 3] as number) ^ (1 << (bit & 7));
      const other = new Fingerprinter(key);
      for (const text of [UUID, "abc"]) {
        const words = new Set(printOf(text).split(" "));
        if (
          printOf(text, other)
            .split(" ")
            .some((word) => words.has(word))
        )
          same.push(`${bit} ${text}`);
      }
    }
    expect(same).to.deep.equal([]);
  });

  it("is returned for an unchecked text exactly if it is a jti, and is the same: at every length and position", () => {
    const odd = ["\0", "\u007f", "\u0080", "\u07ff", "\u0800", "\uD83D", "\uDE00", "\uFFFD", "😀"];
    const wrong: string[] = [];
    for (let length = 0; length <= 300; length++) {
      for (const text of [UUID.repeat(9).slice(0, length), "a".repeat(length)]) {
        const places = length < 50 || length > 250 ? length : 3;
        const texts = [text];
        for (const unit of odd) {
          for (let at = 0; at < places; at++) texts.push(text.slice(0, at) + unit + text.slice(at + 1));
        }
        wrong.push(...texts.filter((each) => uncheckedPrintOf(each) !== checkedPrintOf(each)));
      }
    }
    expect(wrong).to.deep.equal([]);
  });

  it("is returned for an unchecked text exactly if it is a jti, for any text", () => {
    const text = fc.oneof(jti, fc.string({ unit: "binary", maxLength: 300 }), fc.constantFrom(...ALIKE, ""));
    const unit = fc.constantFrom("", "\0", "\uD83D", "\uDE00", "😀", "é");
    fc.assert(
      fc.property(text, unit, text, (head, middle, tail) => {
        const whole = head + middle + tail;
        expect(uncheckedPrintOf(whole)).to.equal(checkedPrintOf(whole));
      }),
      { numRuns: 500 },
    );
  });

  it("is not returned for a jti of 256 bytes, or with a key of another length", () => {
    for (const tooLong of ["a".repeat(256), "é".repeat(128), "ａ".repeat(9999), new Uint8Array(256)]) {
      expect(() => printOf(tooLong)).to.throw(RangeError, "a key has at most 255 bytes");
    }
    for (const length of [0, 16, 31, 33]) {
      expect(() => new Fingerprinter(new Uint8Array(length))).to.throw(RangeError, "must have 32 bytes");
    }
  });
});
