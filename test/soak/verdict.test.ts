import { expect } from "chai";
import type { SoakResult } from "./soak.ts";
import type { Trend } from "./trend.ts";
import { failuresOf } from "./verdict.ts";

const MEGABYTE = 1024 * 1024;
const FLAT: Trend = { perHour: 0, low: -1, high: 1, points: 40 };

function result(
  fields: Partial<SoakResult>,
  { live = FLAT, rss = FLAT, descriptors = FLAT, measuredMs = 1_200_000 } = {},
): SoakResult {
  return {
    ...{ seed: 1, elapsedMs: 60_000, checks: 10_000, revoked: 1000, audited: 1000 },
    ...{ failedInFaults: 3, failedOtherwise: 0, events: {}, violations: [] },
    growth: {
      measuredMs,
      latest: [],
      processes: [{ name: "it", live, rss, descriptors, rssBytes: [1, 1], descriptorCounts: [1, 1] }],
    },
    ...fields,
  };
}

const growing: Trend = { perHour: 3 * MEGABYTE, low: 2 * MEGABYTE, high: 4 * MEGABYTE, points: 40 };
const uncertain: Trend = { perHour: 3 * MEGABYTE, low: -MEGABYTE, high: 7 * MEGABYTE, points: 40 };

describe("the verdict of a soak", () => {
  it("passes with failed calls during faults, and with uncertain growth", () => {
    expect([
      failuresOf(result({})),
      failuresOf(result({}, { live: uncertain, rss: uncertain })),
    ]).to.deep.equal([[], []]);
  });

  it("names every problem", () => {
    const found = [
      result({ violations: ["a was acknowledged, and is lost"] }),
      result({ failedOtherwise: 2 }),
      result({ checks: 10 }),
      result({ audited: 0 }),
      result({}, { live: growing }),
      result({}, { rss: growing }),
      result({}, { descriptors: { ...growing, low: 7 } }),
    ].map(failuresOf);
    expect(found).to.deep.equal([
      ["a was acknowledged, and is lost"],
      ["2 calls failed while nothing was broken"],
      ["it did too little to show anything: 10 checks, 1000 revoked, 1000 audited"],
      ["it did too little to show anything: 10000 checks, 1000 revoked, 0 audited"],
      ["it: what it holds grows"],
      ["it: memory grows"],
      ["it: descriptors grow"],
    ]);
  });

  it("ignores memory after a few minutes, while V8 adapts its heap", () => {
    expect(failuresOf(result({}, { live: growing, rss: growing, measuredMs: 180_000 }))).to.deep.equal([]);
  });
});
