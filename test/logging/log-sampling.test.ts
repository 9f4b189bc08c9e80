import { expect } from "chai";
import {
  LOGGED_REFUSALS,
  LOGGED_REFUSALS_WINDOW_MS,
  LogSampling,
  SUPPRESSED_REPORT_MS,
} from "../../src/logging/log-sampling.ts";
import { FakeClock } from "../support/fake-clock.ts";

interface Suppressed {
  readonly suppressed?: number;
}

describe("LogSampling", () => {
  let clock: FakeClock;
  let logSampling: LogSampling;
  let told: number[];

  beforeEach(() => {
    clock = new FakeClock();
    logSampling = new LogSampling(clock);
    told = [];
  });

  /** The fields added to a line; undefined if it is suppressed. Numbers that are reported later go to `told`. */
  const admit = (kind = "a") => {
    let written: Suppressed | undefined;
    logSampling.write(kind, {
      fields: {},
      details: () => ({ isLine: true }),
      write: ({ isLine, ...suppressed }: Suppressed & { isLine?: boolean }) => {
        if (isLine === true) written = suppressed;
        else told.push(suppressed.suppressed ?? 0);
      },
    });
    return written;
  };
  const admitted = (count: number, kind?: string): Suppressed[] =>
    Array.from({ length: count }, () => admit(kind)).filter((line) => line !== undefined);

  it("writes the first lines of a kind, then one per window with the number of suppressed lines", () => {
    expect(admitted(1000)).to.deep.equal(Array(LOGGED_REFUSALS).fill({}));
    clock.advance(LOGGED_REFUSALS_WINDOW_MS);
    expect(admitted(500)).to.deep.equal([{ suppressed: 1000 - LOGGED_REFUSALS }]);
    clock.advance(LOGGED_REFUSALS_WINDOW_MS);
    expect(admitted(1)).to.deep.equal([{ suppressed: 499 }]);
    clock.advance(LOGGED_REFUSALS_WINDOW_MS);
    expect(admitted(1)).to.deep.equal([{}]);
  });

  it("accounts for every line exactly once, as written or suppressed", () => {
    let seen = 0;
    for (let turn = 0; turn < 2000; turn++) {
      for (const { suppressed = 0 } of admitted(turn % 7)) seen += 1 + suppressed;
      clock.advance(turn % 90);
    }
    logSampling.close();
    const all = Array.from({ length: 2000 }, (_, turn) => turn % 7).reduce((sum, more) => sum + more);
    expect(seen + told.reduce((sum, more) => sum + more, 0)).to.equal(all);
  });

  it("separates kinds, so that many lines of one do not hide another", () => {
    admitted(1000, "a");
    expect(admitted(1, "b")).to.deep.equal([{}]);
  });

  it("replenishes its allowance after a pause, up to the maximum", () => {
    admitted(1000);
    clock.advance(3_600_000);
    expect(admitted(1000)).to.have.length(LOGGED_REFUSALS);
  });

  it("reports suppressed lines once if no further line does", () => {
    admitted(LOGGED_REFUSALS + 5);
    clock.advance(SUPPRESSED_REPORT_MS - 1);
    expect(told).to.deep.equal([]);
    clock.advance(1);
    expect(told).to.deep.equal([5]);
    clock.advance(10 * SUPPRESSED_REPORT_MS);
    expect({ told, admitted: admitted(1), timers: clock.pendingTimers }).to.deep.equal({
      told: [5],
      admitted: [{}],
      timers: 0,
    });
  });

  it("reports suppressed lines on close", () => {
    admitted(LOGGED_REFUSALS + 5);
    logSampling.close();
    expect({ told, timers: clock.pendingTimers }).to.deep.equal({ told: [5], timers: 0 });
  });

  it("continues after the wall clock was set back", () => {
    admitted(1000);
    clock.jumpTo(0);
    clock.advance(LOGGED_REFUSALS_WINDOW_MS);
    expect(admitted(1)).to.have.length(1);
  });
});
