import { expect } from "chai";
import fc from "fast-check";
import { formatRevision, parseRevision } from "../src/revision.ts";

const STAMP = "0123456789abcdef";

describe("the text of a revision", () => {
  it("parses to the same revision", () => {
    const stamps = fc
      .bigInt({ min: 0n, max: 2n ** 64n - 1n })
      .map((bits) => bits.toString(16).padStart(16, "0"));
    fc.assert(
      fc.property(fc.maxSafeNat(), stamps, (number, stamp) => {
        expect(parseRevision(formatRevision({ number, stamp }))).to.deep.equal({ number, stamp });
      }),
    );
  });

  for (const number of [0, 1, Number.MAX_SAFE_INTEGER]) {
    it(`is valid for ${number}`, () => {
      expect(parseRevision(`${number}-${STAMP}`)).to.deep.equal({ number, stamp: STAMP });
    });
  }

  const NEVER_WRITTEN = {
    "nothing at all": "",
    "a number alone": "1",
    "no number": `-${STAMP}`,
    "a negative number": `-1-${STAMP}`,
    "a leading zero": `01-${STAMP}`,
    "a fraction": `1.0-${STAMP}`,
    "a number that no double holds exactly": `9007199254740992-${STAMP}`,
    "seventeen digits": `10000000000000000-${STAMP}`,
    "a short stamp": `1-${STAMP.slice(1)}`,
    "a long stamp": `1-${STAMP}0`,
    "an upper-case stamp": `1-${STAMP.toUpperCase()}`,
    "no hexadecimal stamp": `1-${"g".repeat(16)}`,
    "a space before": ` 1-${STAMP}`,
    "a line feed after": `1-${STAMP}\n`,
    "SQL after": `1-${STAMP} OR 1=1`,
  };
  for (const [what, text] of Object.entries(NEVER_WRITTEN)) {
    it(`is invalid with ${what}`, () => {
      expect(parseRevision(text)).to.equal(undefined);
    });
  }

  it("is parsed without throwing, with any content", () => {
    const texts = fc.oneof(fc.string({ unit: "binary" }), fc.stringMatching(/^\d{0,18}-[0-9a-f]{15,17}$/));
    fc.assert(
      fc.property(texts, (text) => {
        const revision = parseRevision(text);
        // Only the exact output of formatRevision is parsed.
        if (revision !== undefined) expect(formatRevision(revision)).to.equal(text);
      }),
    );
  });
});
