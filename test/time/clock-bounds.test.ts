import { expect } from "chai";
import { describe, it } from "mocha";
import type { EpochMs } from "../../src/entry.ts";
import { ClockBounds } from "../../src/time/clock-bounds.ts";
import { FakeClock } from "../support/fake-clock.ts";

describe("ClockBounds", () => {
  it("returns the earlier of the two clocks", () => {
    const clock = new FakeClock();
    const clockBounds = new ClockBounds(clock);
    const start = clock.now();
    const seen = [clockBounds.earliest() - start];
    for (const skew of [-60_000, 60_000, 0]) {
      clockBounds.record((clock.now() + skew) as EpochMs, clock.now());
      seen.push(clockBounds.earliest() - start, clockBounds.skewMs);
    }
    expect(seen).to.deep.equal([0, -60_000, -60_000, 0, 60_000, 0, 0]);
  });

  it("returns the later of the two clocks, as time passes", () => {
    const clock = new FakeClock();
    const clockBounds = new ClockBounds(clock);
    const seen = [clockBounds.latest() - clock.now()];
    for (const skew of [-60_000, 60_000]) {
      clockBounds.record((clock.now() + skew) as EpochMs, clock.now());
      clock.advance(1000);
      seen.push(clockBounds.latest() - clock.now());
    }
    expect(seen).to.deep.equal([0, 0, 60_000]);
  });

  it("compares the clocks at the middle of the read", () => {
    const clock = new FakeClock();
    const clockBounds = new ClockBounds(clock);
    const sent = clock.now();
    clock.advance(1000);
    clockBounds.record((sent + 500) as EpochMs, sent);
    expect(clockBounds.skewMs).to.equal(0);
  });
});
