import { mock } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { expect } from "chai";
import { systemClock } from "../../src/time/clock.ts";

const DAY_MS = 86_400_000;

describe("systemClock", () => {
  for (const days of [25, 30, 60, 3650]) {
    it(`calls back after ${days} days, more than one timer of Node.js can count, and not earlier`, () => {
      mock.timers.enable({ apis: ["setTimeout"] });
      try {
        let calls = 0;
        systemClock.schedule(days * DAY_MS, () => calls++);
        for (let day = 1; day < days; day++) mock.timers.tick(DAY_MS);
        const before = calls;
        mock.timers.tick(DAY_MS);
        expect([before, calls]).to.deep.equal([0, 1]);
      } finally {
        mock.timers.reset();
      }
    });
  }

  it("cancels a distant callback during any of its timers", () => {
    mock.timers.enable({ apis: ["setTimeout"] });
    try {
      let calls = 0;
      const cancels = [30, 30].map((days) => systemClock.schedule(days * DAY_MS, () => calls++));
      cancels[0]?.();
      for (let day = 1; day < 29; day++) mock.timers.tick(DAY_MS);
      cancels[1]?.();
      for (let day = 1; day < 9; day++) mock.timers.tick(DAY_MS);
      expect(calls).to.equal(0);
    } finally {
      mock.timers.reset();
    }
  });

  it("never calls back after an infinite delay, without a warning of Node.js", async () => {
    let calls = 0;
    const warned: Error[] = [];
    const onWarning = (warning: Error) => warned.push(warning);
    process.on("warning", onWarning);
    const cancels = [Number.POSITIVE_INFINITY, 30 * DAY_MS].map((ms) =>
      systemClock.schedule(ms, () => calls++),
    );
    // An overflowed timer fires after a millisecond, before one that was set later.
    await delay(20);
    process.off("warning", onWarning);
    for (const cancel of cancels) cancel();
    expect([calls, warned]).to.deep.equal([0, []]);
  });
});
