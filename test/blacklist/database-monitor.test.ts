import { expect } from "chai";
import {
  DATABASE_PROBE_MS,
  DATABASE_PROBE_WHILE_DOWN_MS,
  DatabaseMonitor,
} from "../../src/blacklist/database-monitor.ts";
import { storeUnavailable } from "../../src/errors.ts";
import { MAX_CLOCK_SKEW_MS } from "../../src/limits.ts";
import { ClockBounds } from "../../src/time/clock-bounds.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { HeldStore, turn } from "../support/held-store.ts";
import { memoryLog } from "../support/memory-log.ts";

const AWAY = storeUnavailable("the database cannot be reached");

describe("DatabaseMonitor", () => {
  let clock: FakeClock;
  let store: HeldStore;
  let log: ReturnType<typeof memoryLog>;
  let changes: boolean[];
  let monitor: DatabaseMonitor;

  beforeEach(() => {
    clock = new FakeClock();
    store = new HeldStore({ clock });
    log = memoryLog();
    changes = [];
    monitor = new DatabaseMonitor({
      probe: () => store.read([]),
      clock,
      clockBounds: new ClockBounds(clock),
      log: log.log,
      onChange: (healthy) => changes.push(healthy),
    });
  });

  const messages = () => log.records().map(({ level, msg }) => `${level}: ${msg}`);
  const DOWN = "error: not serving: the database is unavailable";
  const BACK = "info: serving again: the database is back";

  /** Ends the beat in flight, with an answer or an error. */
  async function beat(outcome: "answered" | Error = "answered"): Promise<void> {
    const read = store.reads.at(-1);
    await (outcome === "answered" ? read?.release() : read?.fail(outcome));
  }

  /** Advances the clock, and returns how many beats began. */
  function beatsWithin(ms: number): number {
    const before = store.reads.length;
    clock.advance(ms);
    return store.reads.length - before;
  }

  it("has started when the first beat has been answered, and reports the database as available", async () => {
    let started = false;
    void monitor.start().then(() => {
      started = true;
    });
    await turn();
    expect({ started, changes }).to.deep.equal({ started: false, changes: [] });
    await beat();
    expect({ started, changes, messages: messages() }).to.deep.equal({
      started: true,
      changes: [true],
      messages: [],
    });
  });

  it("has started when the first beat has failed, and reports the reason", async () => {
    const started = monitor.start();
    await beat(AWAY);
    await started;
    expect(changes).to.deep.equal([false]);
    expect(log.records()).to.deep.equal([
      {
        level: "error",
        err: { type: "ServiceError", message: "the database cannot be reached" },
        msg: "not serving: the database is unavailable",
      },
    ]);
  });

  it("reports each change once, in both directions, every time", async () => {
    void monitor.start();
    for (const outcome of [
      "answered",
      "answered",
      AWAY,
      AWAY,
      AWAY,
      "answered",
      "answered",
      AWAY,
      "answered",
    ] as const) {
      await beat(outcome);
      clock.advance(DATABASE_PROBE_MS);
    }
    expect([changes, messages()]).to.deep.equal([
      [true, false, true, false, true],
      [DOWN, BACK, DOWN, BACK],
    ]);
  });

  it("reports the database again when the reason for its unavailability changes", async () => {
    void monitor.start();
    for (const outcome of [AWAY, AWAY, storeUnavailable("another"), storeUnavailable("another")]) {
      await beat(outcome);
      clock.advance(DATABASE_PROBE_MS);
    }
    expect({ changes, messages: messages() }).to.deep.equal({ changes: [false], messages: [DOWN, DOWN] });
  });

  it("treats a read-only database as unavailable", async () => {
    void monitor.start();
    await beat();
    store.writable = false;
    clock.advance(DATABASE_PROBE_MS);
    await beat();
    expect([changes, log.records().map(({ err }) => (err as Error).message)]).to.deep.equal([
      [true, false],
      ["the database is read-only"],
    ]);
    store.writable = true;
    clock.advance(DATABASE_PROBE_WHILE_DOWN_MS);
    await beat();
    expect(changes).to.deep.equal([true, false, true]);
  });

  it("sends a beat once a second while the database is available, more often while it is not, and one at a time", async () => {
    void monitor.start();
    const counts = [beatsWithin(10 * DATABASE_PROBE_MS)];
    await beat();
    counts.push(beatsWithin(DATABASE_PROBE_MS - 1), beatsWithin(1), beatsWithin(10 * DATABASE_PROBE_MS));
    await beat(AWAY);
    counts.push(
      beatsWithin(DATABASE_PROBE_WHILE_DOWN_MS - 1),
      beatsWithin(1),
      beatsWithin(10 * DATABASE_PROBE_MS),
    );
    expect(counts).to.deep.equal([0, 0, 1, 0, 0, 1, 0]);
  });

  it("looks up no token", async () => {
    void monitor.start();
    expect(store.reads.map(({ input }) => input)).to.deep.equal([[]]);
  });

  for (const [direction, sign] of [
    ["ahead", 1],
    ["behind", -1],
  ] as const) {
    it(`reports once that the database's clock is ${direction}, and once that the clocks agree again`, async () => {
      void monitor.start();
      for (const skewMs of [MAX_CLOCK_SKEW_MS, MAX_CLOCK_SKEW_MS + 1, 10 * MAX_CLOCK_SKEW_MS, 0, 0]) {
        store.skewMs = sign * skewMs;
        // A beat sees the clock that it began with: the first of each pair began before the skew changed.
        await beat();
        clock.advance(DATABASE_PROBE_MS);
        await beat();
        clock.advance(DATABASE_PROBE_MS);
      }
      expect(log.records()).to.deep.equal([
        {
          level: "error",
          skew_ms: sign * (MAX_CLOCK_SKEW_MS + 1),
          msg: "the database's clock and this machine's differ: nothing is pruned until they agree",
        },
        { level: "info", msg: "the clocks agree again" },
      ]);
      expect(changes).to.deep.equal([true]);
    });
  }

  for (const [when, share] of [
    ["first", 0],
    ["last", 1],
  ] as const) {
    it(`does not treat a slow answer as clock skew when the database read its clock ${when}`, async () => {
      const slowness = 2 * MAX_CLOCK_SKEW_MS;
      store.skewMs = share * slowness;
      void monitor.start();
      clock.advance(slowness);
      await beat();
      expect(messages()).to.deep.equal([]);
    });
  }

  it("sends no more beats once stopped, and reports nothing of a beat in flight", async () => {
    void monitor.start();
    await beat();
    clock.advance(DATABASE_PROBE_MS);
    monitor.stop();
    await beat(AWAY);
    expect([beatsWithin(10 * DATABASE_PROBE_MS), clock.pendingTimers, changes, messages()]).to.deep.equal([
      0,
      0,
      [true],
      [],
    ]);
  });

  it("cancels the next beat when stopped between two", async () => {
    void monitor.start();
    await beat();
    monitor.stop();
    expect([beatsWithin(10 * DATABASE_PROBE_MS), clock.pendingTimers]).to.deep.equal([0, 0]);
  });
});
