import { expect } from "chai";
import { BACKLOG_POLL_MS, PruneBacklog } from "../../src/blacklist/prune-backlog.ts";
import type { EpochMs } from "../../src/entry.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { turn } from "../support/held-store.ts";

const LEEWAY = 60_000;
const RETENTION = 7000;

describe("PruneBacklog", () => {
  let clock: FakeClock;
  /** The database's answers, in turn; an Error is thrown. */
  let answers: (EpochMs | undefined | Error)[];
  let asked: unknown[];
  let backlog: PruneBacklog;

  beforeEach(() => {
    clock = new FakeClock();
    answers = [];
    asked = [];
    const store = {
      async oldestPrunable(terms: unknown) {
        asked.push(terms);
        const answer = answers.shift();
        if (answer instanceof Error) throw answer;
        return answer;
      },
    };
    backlog = new PruneBacklog({ store, clock, leewayMs: LEEWAY, retentionMs: RETENTION });
  });

  const ago = (ms: number) => (clock.now() - ms) as EpochMs;

  it("is unknown before the first poll, then the wait of the oldest entry, or 0 without any", async () => {
    expect(backlog.longestWaitMs).to.equal(undefined);
    answers.push(ago(5000));
    await backlog.start();
    expect(asked).to.deep.equal([{ now: clock.now(), leewayMs: LEEWAY, retentionMs: RETENTION }]);
    expect(backlog.longestWaitMs).to.equal(5000);
    clock.advance(BACKLOG_POLL_MS - 1);
    expect({ asked: asked.length, longestWaitMs: backlog.longestWaitMs }).to.deep.equal({
      asked: 1,
      longestWaitMs: 5000 + BACKLOG_POLL_MS - 1,
    });
    clock.advance(1);
    await turn();
    expect({ asked: asked.length, longestWaitMs: backlog.longestWaitMs }).to.deep.equal({
      asked: 2,
      longestWaitMs: 0,
    });
  });

  it("increases with time from the last poll while the database is unavailable, and is polled again", async () => {
    answers.push(ago(5000), new Error("away"), undefined);
    await backlog.start();
    clock.advance(BACKLOG_POLL_MS);
    await turn();
    expect(backlog.longestWaitMs).to.equal(5000 + BACKLOG_POLL_MS);
    clock.advance(BACKLOG_POLL_MS);
    await turn();
    expect(backlog.longestWaitMs).to.equal(0);
  });

  it("is no longer polled once stopped, not even if a poll was in flight", async () => {
    const looking = backlog.start();
    backlog.stop();
    await looking;
    expect(clock.pendingTimers).to.equal(0);
    await backlog.start();
    expect(clock.pendingTimers).to.equal(0);
  });
});
