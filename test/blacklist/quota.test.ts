import { expect } from "chai";
import fc from "fast-check";
import { MAX_QUOTA_CALLERS, QUOTA_RECOUNT_MS, Quota } from "../../src/blacklist/quota.ts";
import type { ServiceError } from "../../src/errors.ts";
import { MAX_BATCH } from "../../src/limits.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { turn } from "../support/held-store.ts";
import { reasonOf, rejection } from "../support/rejection.ts";

describe("Quota", () => {
  let clock: FakeClock;
  /** Entries in the database, by caller. */
  let stored: Map<string, number>;
  let counts: { caller: string; limit: number }[];
  let quota: Quota;

  beforeEach(() => {
    clock = new FakeClock();
    stored = new Map();
    counts = [];
  });

  const UNKNOWN = { waitsForCount: true, totalEntries: () => undefined };

  function limit(rowsPerSecond: number, maxRows: number): void {
    const count = async (caller: string, most: number) => {
      counts.push({ caller, limit: most });
      return Math.min(stored.get(caller) ?? 0, most);
    };
    quota = new Quota({ ...UNKNOWN, rowsPerSecond, maxRows, clock, countEntries: count });
  }

  /** Blacklists this many tokens, each of which becomes an entry. */
  async function add(rows: number, caller = "alice"): Promise<void> {
    const settle = await quota.reserve(caller, rows);
    stored.set(caller, (stored.get(caller) ?? 0) + rows);
    settle(rows);
  }

  async function refusal(rows: number, caller?: string): Promise<[message: string, retryAfterMs: number]> {
    const error = (await rejection(add(rows, caller))) as ServiceError;
    expect(error.reason).to.equal("QUOTA_EXCEEDED");
    return [error.message, error.retryAfterMs as number];
  }

  it("without limits allows any number, and counts nothing", async () => {
    limit(0, 0);
    for (let times = 0; times < 100; times++) await add(MAX_BATCH);
    expect(counts).to.deep.equal([]);
  });

  describe("of rows a second", () => {
    const FAST = "the caller may blacklist 10 tokens a second";

    it("allows a whole request at once, which is paid back over time", async () => {
      limit(10, 0);
      await add(MAX_BATCH);
      expect([await refusal(1), await refusal(10), await refusal(MAX_BATCH)]).to.deep.equal([
        [FAST, 100],
        [FAST, 1000],
        [FAST, 100_000],
      ]);
      expect(counts).to.deep.equal([]);
    });

    it("refills at the rate, to the millisecond that the caller was told", async () => {
      limit(10, 0);
      await add(MAX_BATCH);
      const [, retryAfterMs] = await refusal(25);
      clock.advance(retryAfterMs - 1);
      expect((await refusal(25))[1]).to.equal(1);
      clock.advance(1);
      await add(25);
      expect(await refusal(1)).to.deep.equal([FAST, 100]);
    });

    it("does not refill beyond one second's rows, or one request's if that is more", async () => {
      for (const [rate, burst] of [
        [10, MAX_BATCH],
        [2500, 2500],
      ] as const) {
        limit(rate, 0);
        clock.advance(24 * 3_600_000);
        for (let left = burst; left > 0; left -= 500) await add(500);
        await refusal(1);
        clock.advance(24 * 3_600_000);
        for (let left = burst; left > 0; left -= 500) await add(500);
        await refusal(1);
      }
    });

    it("is not used by refused requests", async () => {
      limit(10, 0);
      await add(MAX_BATCH);
      clock.advance(1000);
      for (let times = 0; times < 10; times++) await refusal(11);
      await add(10);
    });

    it("is separate for each caller", async () => {
      limit(10, 0);
      await add(MAX_BATCH, "alice");
      await add(MAX_BATCH, "bob");
      await refusal(1, "alice");
    });

    it("is independent of changes of the wall clock", async () => {
      limit(10, 0);
      await add(MAX_BATCH);
      for (const jump of [3_600_000, -7_200_000]) {
        clock.jumpTo(clock.now() + jump);
        expect(await refusal(10)).to.deep.equal([FAST, 1000]);
      }
    });

    it("accepts a caller who retries after the given delay, at any rate", async () => {
      const rows = fc.integer({ min: 1, max: MAX_BATCH });
      const calls = fc.array(fc.tuple(rows, fc.nat({ max: 5000 })), { maxLength: 30 });
      await fc.assert(
        fc.asyncProperty(fc.integer({ min: 1, max: 1_000_000 }), calls, async (rate, asked) => {
          limit(rate, 0);
          for (const [count, pause] of asked) {
            clock.advance(pause);
            const error = await add(count).catch((refused: unknown) => refused);
            if (error === undefined) continue;
            clock.advance((error as ServiceError).retryAfterMs as number);
            await add(count);
          }
        }),
        { numRuns: 500 },
      );
    });

    it("holds over any period, for any number of requests", async () => {
      const asks = fc.array(fc.tuple(fc.integer({ min: 1, max: 50 }), fc.nat({ max: 2000 })), {
        maxLength: 100,
      });
      await fc.assert(
        fc.asyncProperty(fc.integer({ min: 1, max: 2000 }), asks, async (rate, asked) => {
          limit(rate, 0);
          const start = clock.monotonic();
          let letIn = 0;
          for (const [count, pause] of asked) {
            clock.advance(pause);
            const error = await add(count).catch((refused: unknown) => refused);
            if (error === undefined) letIn += count;
          }
          const seconds = (clock.monotonic() - start) / 1000;
          expect(letIn).to.be.at.most(Math.max(MAX_BATCH, rate) + rate * seconds + 1e-6);
        }),
      );
    });
  });

  describe("of rows in total", () => {
    const FULL = "the caller may have at most 100 entries";

    it("is used to the last row, and its refusal states when to retry", async () => {
      limit(0, 100);
      await add(60);
      expect(await refusal(41)).to.deep.equal([FULL, QUOTA_RECOUNT_MS]);
      await add(40);
      expect(await refusal(1)).to.deep.equal([FULL, QUOTA_RECOUNT_MS]);
    });

    it("includes the caller's existing entries, which may have been written by other replicas", async () => {
      stored.set("alice", 70);
      limit(0, 100);
      await refusal(31);
      await add(30);
      await refusal(1);
      expect(counts).to.deep.equal([{ caller: "alice", limit: 101 }]);
    });

    it("is separate for each caller", async () => {
      stored.set("alice", 100);
      limit(0, 100);
      await refusal(1, "alice");
      await add(100, "bob");
    });

    it("is counted again each minute: entries that have expired since are free again", async () => {
      stored.set("alice", 100);
      limit(0, 100);
      const [, retryAfterMs] = await refusal(1);
      stored.set("alice", 40);
      clock.advance(QUOTA_RECOUNT_MS - 1);
      await refusal(1);
      expect(counts).to.have.length(1);
      clock.advance(1);
      await add(60);
      expect([retryAfterMs, counts.length]).to.deep.equal([QUOTA_RECOUNT_MS, 2]);
      await refusal(1);
    });

    it("is counted again each minute: entries that other replicas have added are included", async () => {
      limit(0, 100);
      await add(1);
      stored.set("alice", 100);
      clock.advance(QUOTA_RECOUNT_MS);
      await refusal(1);
    });

    it("releases the rows that did not become an entry", async () => {
      limit(0, 100);
      const settle = await quota.reserve("alice", 100);
      await refusal(1);
      settle(30);
      stored.set("alice", 30);
      await add(70);
      await refusal(1);
    });

    it("reserves no more than the limit for all requests in flight together", async () => {
      stored.set("alice", 50);
      limit(0, 100);
      const settled = await Promise.allSettled(Array.from({ length: 20 }, () => quota.reserve("alice", 10)));
      expect(settled.filter(({ status }) => status === "fulfilled")).to.have.length(5);
      expect(counts).to.have.length(1);
    });

    it("accepts no request while entries are being counted, for the first time or again", async () => {
      let answer = (_: number) => {};
      const count = () => new Promise<number>((resolve) => (answer = resolve));
      quota = new Quota({ ...UNKNOWN, rowsPerSecond: 0, maxRows: 100, clock, countEntries: count });
      for (let round = 0; round < 2; round++) {
        const asked = [quota.reserve("alice", 1), quota.reserve("alice", 1)];
        let answered = 0;
        for (const one of asked) void one.then(() => answered++).catch(() => answered++);
        await turn();
        expect(answered).to.equal(0);
        answer(100);
        const outcomes = await Promise.allSettled(asked);
        expect(outcomes.map(({ status }) => status)).to.deep.equal(["rejected", "rejected"]);
        clock.advance(QUOTA_RECOUNT_MS);
      }
    });

    it("still includes the requests in flight when entries are counted again", async () => {
      limit(0, 100);
      const settle = await quota.reserve("alice", 80);
      clock.advance(QUOTA_RECOUNT_MS);
      await refusal(21);
      settle(0);
      await add(100);
      await refusal(1);
    });

    it("still includes entries that are added while the count is in progress", async () => {
      let answer = (_: number) => {};
      const count = () =>
        new Promise<number>((resolve) => {
          answer = resolve;
        });
      quota = new Quota({ ...UNKNOWN, rowsPerSecond: 0, maxRows: 100, clock, countEntries: count });
      const first = quota.reserve("alice", 60);
      answer(0);
      const settle = await first;
      clock.advance(QUOTA_RECOUNT_MS);
      const second = reasonOf(quota.reserve("alice", 41));
      await turn();
      settle(60);
      answer(0);
      expect(await second).to.equal("QUOTA_EXCEEDED");
    });

    it("treats a failed count neither as zero nor as final", async () => {
      stored.set("alice", 95);
      let fails = true;
      const away = new Error("away");
      const count = async (caller: string) => {
        if (fails) throw away;
        return stored.get(caller) ?? 0;
      };
      quota = new Quota({ ...UNKNOWN, rowsPerSecond: 0, maxRows: 100, clock, countEntries: count });
      expect(await Promise.all([rejection(add(1)), rejection(add(1)), rejection(add(100))])).to.deep.equal([
        away,
        away,
        away,
      ]);
      fails = false;
      await refusal(6);
      await add(5);
      fails = true;
      clock.advance(QUOTA_RECOUNT_MS);
      expect(await rejection(add(1))).to.equal(away);
      fails = false;
      await refusal(1);
    });

    it("is never exceeded, in any order of events", async () => {
      const LIMIT = 50;
      const step = fc.oneof(
        { weight: 4, arbitrary: fc.record({ reserve: fc.integer({ min: 1, max: 30 }) }) },
        { weight: 1, arbitrary: fc.record({ pass: fc.constantFrom(1, QUOTA_RECOUNT_MS) }) },
        { weight: 5, arbitrary: fc.constantFrom("count", "write", "settle", "fail", "expire") },
      );
      await fc.assert(
        fc.asyncProperty(fc.nat({ max: LIMIT }), fc.array(step, { maxLength: 60 }), async (before, steps) => {
          const clock = new FakeClock();
          let entries = before;
          const answers: (() => void)[] = [];
          const count = () => {
            const seen = entries;
            return new Promise<number>((resolve) => answers.push(() => resolve(seen)));
          };
          const quota = new Quota({
            ...UNKNOWN,
            rowsPerSecond: 0,
            maxRows: LIMIT,
            clock,
            countEntries: count,
          });
          const reserved: { rows: number; settle: (created: number) => void }[] = [];
          const written: typeof reserved = [];
          for (const next of steps) {
            if (typeof next === "object" && "reserve" in next) {
              const rows = next.reserve;
              quota.reserve("alice", rows).then(
                (settle) => reserved.push({ rows, settle }),
                () => {},
              );
            } else if (typeof next === "object") clock.advance(next.pass);
            else if (next === "count") answers.shift()?.();
            else if (next === "expire") entries = Math.max(0, entries - 7);
            else if (next === "fail") reserved.shift()?.settle(0);
            else if (next === "settle") {
              const one = written.shift();
              one?.settle(one.rows);
            } else {
              const one = reserved.shift();
              entries += one?.rows ?? 0;
              if (one !== undefined) written.push(one);
            }
            await turn();
            const underWay = reserved.reduce((sum, { rows }) => sum + rows, 0);
            expect(entries + underWay).to.be.at.most(LIMIT);
          }
        }),
        { numRuns: 500 },
      );
    });
  });

  describe("of rows in total, with an index", () => {
    const FULL = "the caller may have at most 100 entries";
    let total: number | undefined;
    let answers: ((error?: Error) => void)[];

    function beside({ waitsForCount }: { waitsForCount: boolean }): void {
      answers = [];
      const count = (caller: string) =>
        new Promise<number>((resolve, reject) => {
          counts.push({ caller, limit: 101 });
          answers.push((error) => (error === undefined ? resolve(stored.get(caller) ?? 0) : reject(error)));
        });
      quota = new Quota({
        rowsPerSecond: 0,
        maxRows: 100,
        clock,
        countEntries: count,
        waitsForCount,
        totalEntries: () => total,
      });
    }

    it("counts nothing while the total number of entries leaves room", async () => {
      beside({ waitsForCount: true });
      total = 40;
      await add(60);
      total = 100;
      expect(counts).to.deep.equal([]);
      const asked = add(1);
      await turn();
      expect(counts).to.have.length(1);
      answers[0]?.();
      await asked;
    });

    it("by default delays no caller while entries are counted, and then refuses callers above the limit", async () => {
      beside({ waitsForCount: false });
      total = 1000;
      stored.set("alice", 100);
      await add(1, "alice");
      await add(1, "bob");
      expect(counts.map(({ caller }) => caller)).to.deep.equal(["alice", "bob"]);
      for (const answer of answers) answer();
      await turn();
      expect((await refusal(1, "alice"))[0]).to.equal(FULL);
      await add(1, "bob");
      stored.set("alice", 10);
      clock.advance(QUOTA_RECOUNT_MS);
      await refusal(1, "alice");
      answers.at(-1)?.();
      await turn();
      await add(1, "alice");
    });

    it("by default refuses no caller because of a failed count, and does not count without an index to protect", async () => {
      beside({ waitsForCount: false });
      total = 1000;
      await add(1);
      answers[0]?.(new Error("away"));
      await turn();
      await add(100);
      total = undefined;
      clock.advance(QUOTA_RECOUNT_MS);
      counts.length = 0;
      await add(100);
      expect(counts).to.deep.equal([]);
    });

    it("has the highest usage of all callers as a metric", async () => {
      beside({ waitsForCount: true });
      total = 40;
      expect(quota.used).to.deep.equal({ rows: 0.4, rowsPerSecond: undefined });
      total = 1000;
      stored.set("alice", 70);
      const asked = add(10);
      await turn();
      answers[0]?.();
      await asked;
      expect(quota.used.rows).to.equal(0.8);
      limit(10, 0);
      await add(MAX_BATCH / 2);
      clock.advance(10_000);
      expect(quota.used).to.deep.equal({ rows: undefined, rowsPerSecond: 0.4 });
    });
  });

  describe("of one request", () => {
    it("is reserved once, before the outcome is known, and released for rows that became no entry", async () => {
      limit(0, 100);
      const allowance = quota.allowance("alice");
      await allowance.reserve(100);
      await allowance.reserve(60);
      await refusal(1);
      allowance.settle(60);
      allowance.settle(0);
      await add(40);
      await refusal(1);
    });

    it("is kept if it is unknown how many rows became entries", async () => {
      limit(0, 100);
      const allowance = quota.allowance("alice");
      await allowance.reserve(100);
      allowance.settle();
      allowance.settle(0);
      await refusal(1);
    });
  });

  it("checks the rate before it counts anything", async () => {
    limit(10, 5000);
    await add(MAX_BATCH);
    counts.length = 0;
    clock.advance(QUOTA_RECOUNT_MS);
    await add(600);
    for (let times = 0; times < 10; times++) await refusal(1);
    expect(counts).to.have.length(1);
  });

  it("tracks a bounded number of callers, the most recent ones", async () => {
    limit(10, 0);
    await add(MAX_BATCH, "first");
    for (let index = 0; index < MAX_QUOTA_CALLERS - 1; index++) await add(MAX_BATCH, `caller ${index}`);
    await refusal(1, "first");
    await add(1, "one more");
    await refusal(1, "caller 0");
    await add(MAX_BATCH, "first");
  });
});
