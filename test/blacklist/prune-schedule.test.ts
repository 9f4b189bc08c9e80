import { expect } from "chai";
import fc from "fast-check";
import { AcknowledgedCommits } from "../../src/blacklist/acknowledged-commits.ts";
import { Blacklist } from "../../src/blacklist/blacklist.ts";
import { CoalescedChecks } from "../../src/blacklist/coalesced-checks.ts";
import type { Observer } from "../../src/blacklist/observer.ts";
import { PruneSchedule } from "../../src/blacklist/prune-schedule.ts";
import { Writer } from "../../src/blacklist/writer.ts";
import { MAX_PRUNE_COUNT } from "../../src/limits.ts";
import { ClockBounds } from "../../src/time/clock-bounds.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { HeldStore, turn } from "../support/held-store.ts";
import { memoryLog } from "../support/memory-log.ts";
import { UNOBSERVED } from "../support/unobserved.ts";

const HOUR = 3_600_000;
const LEEWAY = 60_000;
const RETENTION = 7000;

describe("PruneSchedule", () => {
  let clock: FakeClock;
  let store: HeldStore;
  let log: ReturnType<typeof memoryLog>;
  /** The calls to the observer, in order. */
  let told: unknown[];
  const observer: Observer = {
    ...UNOBSERVED,
    pruned: (count) => void told.push(count),
    pruneEnded: (run) => void told.push(run),
  };

  beforeEach(() => {
    clock = new FakeClock();
    store = new HeldStore({ clock });
    log = memoryLog();
    told = [];
  });

  function schedule({
    intervalMs = HOUR,
    random = () => 0.5,
  }: {
    intervalMs?: number;
    random?: () => number;
  } = {}): PruneSchedule {
    const writer = new Writer({ store, onCommit() {}, clock, leewayMs: LEEWAY });
    const checks = new CoalescedChecks({
      store,
      acknowledged: new AcknowledgedCommits(store),
      clock,
      leewayMs: LEEWAY,
    });
    const blacklist = new Blacklist({
      clockBounds: new ClockBounds(clock),
      store,
      writer,
      checks,
      clock,
      leewayMs: LEEWAY,
      retentionMs: RETENTION,
      observer,
    });
    const schedule = new PruneSchedule({ blacklist, clock, log: log.log, observer, random });
    schedule.start(intervalMs);
    return schedule;
  }

  it("prunes all expired entries, with the service's leeway and retention", () => {
    schedule();
    clock.advance(HOUR);
    expect(store.prunes.map(({ input: { mayContinueAfterPause, ...order } }) => order)).to.deep.equal([
      {
        limit: MAX_PRUNE_COUNT,
        dryRun: false,
        expiredBefore: undefined,
        now: clock.now(),
        leewayMs: LEEWAY,
        retentionMs: RETENTION,
      },
    ]);
  });

  it("runs 0.9 to 1.1 intervals after the last run, at random", async () => {
    const chances = fc.array(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), {
      minLength: 1,
      maxLength: 5,
    });
    await fc.assert(
      fc.asyncProperty(chances, async (numbers) => {
        clock = new FakeClock();
        store = new HeldStore({ clock });
        const left = [...numbers];
        const pruning = schedule({ random: () => left.shift() ?? 0 });
        for (const number of numbers) {
          const before = store.prunes.length;
          const due = HOUR * (0.9 + number * 0.2);
          clock.advance(due - 1);
          const early = store.prunes.length - before;
          clock.advance(1.001);
          expect({ early, prunes: store.prunes.length - before }).to.deep.equal({ early: 0, prunes: 1 });
          await store.prunes.at(-1)?.release();
        }
        await pruning.stop();
      }),
      { numRuns: 30 },
    );
  });

  it("does not run again while a run is in progress", async () => {
    schedule();
    clock.advance(10 * HOUR);
    expect([store.prunes.length, clock.pendingTimers]).to.deep.equal([1, 0]);
    await store.prunes[0]?.release();
    expect(clock.pendingTimers).to.equal(1);
  });

  it("continues until no prunable entry is left, then logs the number of deleted entries, and tells the observer", async () => {
    store.pruneReceipts.push(
      { count: 100, hasMore: true },
      { count: 0, hasMore: true },
      { count: 7, hasMore: false },
    );
    schedule();
    clock.advance(HOUR);
    await store.prunes[0]?.release();
    await store.prunes[1]?.release();
    clock.advance(1500);
    await store.prunes[2]?.release();
    expect(log.records()).to.deep.equal([
      { level: "info", pruned: 107, duration_ms: 1500, msg: "pruned expired entries" },
    ]);
    expect(store.prunes.length).to.equal(3);
    expect(told).to.deep.equal([100, 0, 7, { at: clock.now(), succeeded: true }]);
  });

  it("logs an error with the number deleted so far when a run fails, and runs again after an interval", async () => {
    store.pruneReceipts.push({ count: 100, hasMore: true }, { count: 3, hasMore: false });
    schedule();
    clock.advance(HOUR);
    await store.prunes[0]?.release();
    await store.prunes[1]?.fail(
      Object.assign(new Error("deadlock"), { stack: "stack", code: "ER_LOCK_DEADLOCK" }),
    );
    const failedAt = clock.now();
    clock.advance(HOUR);
    await store.prunes[2]?.release();
    expect(log.records()).to.deep.equal([
      {
        level: "error",
        err: { type: "Error", message: "deadlock", code: "ER_LOCK_DEADLOCK", stack: "stack" },
        pruned: 100,
        msg: "pruning failed: expired entries stay until it succeeds",
      },
      { level: "info", pruned: 3, duration_ms: 0, msg: "pruned expired entries" },
    ]);
    expect(told).to.deep.equal([
      ...[100, { at: failedAt, succeeded: false }],
      ...[3, { at: clock.now(), succeeded: true }],
    ]);
  });

  it("never runs if the interval is 0", async () => {
    const never = schedule({ intervalMs: 0 });
    clock.advance(1000 * HOUR);
    await never.stop();
    expect([store.prunes.length, clock.pendingTimers]).to.deep.equal([0, 0]);
  });

  it("runs no more once stopped", async () => {
    const stopped = schedule();
    await stopped.stop();
    const timers = clock.pendingTimers;
    clock.advance(10 * HOUR);
    await turn();
    expect([timers, store.prunes.length, log.records()]).to.deep.equal([0, 0, []]);
  });

  it("finishes the chunk in progress when stopped, and begins no other", async () => {
    store.pruneReceipts.push({ count: 100, hasMore: true });
    const pruning = schedule();
    clock.advance(HOUR);
    let stopped = false;
    const stopping = pruning.stop().then(() => {
      stopped = true;
    });
    await turn();
    expect(stopped).to.equal(false);
    await store.prunes[0]?.release();
    await stopping;
    expect([store.prunes.length, clock.pendingTimers]).to.deep.equal([1, 0]);
  });
});
