import { expect } from "chai";
import { randomFor } from "../support/seed.ts";
import { type Sample, trendOf } from "./trend.ts";

const HOUR_MS = 3_600_000;
const MEGABYTE = 1024 * 1024;

/** Twenty minutes, a sample a second. */
function samples(value: (at: number) => number): Sample[] {
  return Array.from({ length: 1200 }, (_, index) => ({ at: index * 1000, value: value(index * 1000) }));
}

/** Memory under garbage collection: it rises for half a minute to two minutes, and falls. */
function sawTooth(random: () => number): (at: number) => number {
  let floor = 0;
  let length = 0;
  return (at) => {
    if (at - floor > length) {
      floor = at;
      length = 30_000 + 90_000 * random();
    }
    return ((at - floor) / 60_000) * 8 * MEGABYTE;
  };
}

describe("a trend", () => {
  it("of a line is its slope, without uncertainty", () => {
    const trend = trendOf(
      samples((at) => 100 * MEGABYTE + (at / HOUR_MS) * 3 * MEGABYTE),
      { blockMs: 30_000 },
    );
    expect(trend?.perHour).to.be.closeTo(3 * MEGABYTE, 1);
    expect(trend?.low).to.be.closeTo(3 * MEGABYTE, 1);
    expect(trend?.high).to.be.closeTo(3 * MEGABYTE, 1);
    expect(trend?.points).to.equal(40);
  });

  it("of a sawtooth includes its true slope nearly always, and finds no growth where there is none", () => {
    const random = randomFor("trend");
    let within = 0;
    let alarms = 0;
    for (let round = 0; round < 200; round++) {
      const noise = sawTooth(random);
      const trend = trendOf(
        samples((at) => 100 * MEGABYTE + noise(at)),
        { blockMs: 30_000 },
      );
      if (trend === undefined) continue;
      if (trend.low <= 0 && trend.high >= 0) within++;
      if (trend.low > MEGABYTE) alarms++;
    }
    expect(within).to.be.above(170);
    expect(alarms).to.be.below(15);
  });

  it("finds a leak below a sawtooth", () => {
    const random = randomFor("leak");
    const noise = sawTooth(random);
    const leaking = (at: number) => 100 * MEGABYTE + noise(at) + (at / HOUR_MS) * 60 * MEGABYTE;
    expect(trendOf(samples(leaking), { blockMs: 30_000 })?.low).to.be.above(MEGABYTE);
  });

  it("is undefined for too few samples", () => {
    expect(trendOf(samples(() => 1).slice(0, 80), { blockMs: 30_000 })).to.equal(undefined);
  });
});
