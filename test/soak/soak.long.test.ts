import { expect } from "chai";
import { ownMariadb } from "../support/own-mariadb.ts";
import { seed } from "../support/seed.ts";
import { needsProcessUsage } from "./process-usage.ts";
import { formatResult } from "./report.ts";
import { runSoak } from "./soak.ts";
import { failuresOf } from "./verdict.ts";

const SECONDS = 15;

describe("a soak", function () {
  this.timeout(180_000);

  it(`of ${SECONDS} seconds loses nothing, returns no wrong answer, and fails no call while nothing is broken`, async function () {
    needsProcessUsage(this);
    const minutes: object[] = [];
    const result = await runSoak({
      seed,
      durationMs: SECONDS * 1000,
      warmUpMs: 0,
      reportMs: 5000,
      onMinute: (minute) => minutes.push(minute),
      signal: new AbortController().signal,
      server: await ownMariadb(this),
    });
    const failures = failuresOf(result);
    expect(failures, formatResult(result, failures)).to.deep.equal([]);
    // It has injected faults and sampled the processes.
    expect(Object.keys(result.events).length).to.be.above(0);
    expect(result.growth.processes.map(({ name, rssBytes }) => [name, rssBytes[1] > 0])).to.deep.equal([
      ["replica 1", true],
      ["client in remote mode", true],
      ["client in local mode", true],
    ]);
    expect(minutes.length).to.be.above(2);
  });
});
