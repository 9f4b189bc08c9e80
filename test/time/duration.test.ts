import { expect } from "chai";
import { parseDuration } from "../../src/time/duration.ts";

describe("parseDuration", () => {
  it("reads an amount and a unit, or a sequence of them", () => {
    const texts = [
      "0",
      "0s",
      "250ms",
      "30s",
      "5m",
      "1h",
      "7d",
      "1h30m",
      "1m1ms",
      "1s1s",
      "36500d",
      "999999999d",
    ];
    expect(texts.map(parseDuration)).to.deep.equal([
      0, 0, 250, 30_000, 300_000, 3_600_000, 604_800_000, 5_400_000, 60_001, 2000, 3_153_600_000_000,
      86_399_999_913_600_000,
    ]);
  });

  for (const text of [
    "",
    "5",
    "00",
    "s",
    "-1s",
    "+1s",
    "1.5s",
    "1e3s",
    "1 s",
    " 1s",
    "1s ",
    "1s\n",
    "1S",
    "1M",
    "1w",
    "1us",
    "1h30",
    "0x1s",
    "١s",
    "1234567890s",
  ]) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      expect(() => parseDuration(text)).to.throw(RangeError, /^must be a duration such as 30s, 5m or 1h$/);
    });
  }

  it("refuses a long sequence quickly", () => {
    expect(() => parseDuration(`${"1m".repeat(100_000)}x`)).to.throw(RangeError);
  }).timeout(1000);
});
