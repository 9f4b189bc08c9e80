import { expect } from "chai";
import type { EpochMs } from "../../src/entry.ts";
import { type ServiceError, storeUnavailable } from "../../src/errors.ts";
import { FAILED_WATCH_READ_MS, MAX_LOGGED_CHANGES, WATCH_READ_MS } from "../../src/limits.ts";
import { eachOf } from "../../src/token-index/columns.ts";
import type { Held } from "../support/held-store.ts";
import { newEntries, newEntry } from "../support/new-entry.ts";
import { thrownBy } from "../support/rejection.ts";
import { type KeptCopy, settle, WatchHubStage } from "../support/watch-hub-stage.ts";

const NAMES = ["a", "b", "c", "d", "e"];

describe("a subscription", () => {
  let stage: WatchHubStage;
  let copy: KeptCopy;

  async function use({ entries = 0, page }: { entries?: number; page?: number } = {}): Promise<void> {
    stage = new WatchHubStage({ ...(page !== undefined && { page }) });
    stage.store.commit(newEntry("a"), ...newEntries("large", entries));
    await stage.load();
    stage.know(...NAMES);
    copy = await stage.open();
  }

  beforeEach(async () => {
    await use();
    copy.news();
  });

  function commit(...names: string[]): void {
    stage.store.commit(...names.map((name) => newEntry(name)));
  }

  /** From now on reads wait for the test; the one for all who keep copies is the first of them, and has begun. */
  async function hold(): Promise<void> {
    stage.store.holding = true;
    stage.store.changes.splice(0);
    stage.clock.advance(WATCH_READ_MS);
    await settle();
    expect(stage.store.changes).to.have.length(1);
  }

  const read = (number: number) => stage.store.changes[number] as Held<unknown>;

  async function release(number: number): Promise<void> {
    await read(number).release();
    await settle();
  }

  describe("asked for proof", () => {
    it("gives it after everything that was acknowledged before", async () => {
      commit("b", "c");
      copy.subscription.sync(1n);
      await settle();
      expect(copy.news()).to.deep.equal(["change b c @2", "synced 1 @2"]);
    });

    it("takes none from a read that is under way: that may have begun before what must be seen", async () => {
      await hold();
      commit("b");
      copy.subscription.sync(1n);
      await settle();
      await release(0);
      const early = copy.news();
      await release(1);
      expect([early, copy.news()]).to.deep.equal([[], ["change b @2", "synced 1 @2"]]);
    });

    it("asks once for all who ask meanwhile, and answers with the last of them", async () => {
      await hold();
      for (const id of [1n, 2n]) copy.subscription.sync(id);
      await settle();
      await release(0);
      for (const id of [5n, 9n]) copy.subscription.sync(id);
      commit("b");
      await release(1);
      const first = copy.news();
      await release(2);
      expect([first, copy.news()]).to.deep.equal([["synced 1 @1"], ["change b @2", "synced 9 @2"]]);
    });

    it("gives none while a page is full, and none before the last of them", async () => {
      await use({ page: 2 });
      copy.news();
      await hold();
      await release(0);
      copy.subscription.sync(1n);
      await settle();
      commit("b", "c", "d");
      // The read that was for the sync has begun before this: it is in the next one.
      await release(1);
      expect(copy.news()).to.deep.equal(["synced 1 @1"]);
      copy.subscription.sync(2n);
      await settle();
      await release(2);
      const half = copy.news();
      await release(3);
      expect([half, copy.news()]).to.deep.equal([["change b c"], ["change d @2", "synced 2 @2"]]);
    });

    it("says that there is none when the read fails, and gives it again when one has not", async () => {
      await hold();
      copy.subscription.sync(1n);
      await settle();
      await release(0);
      await read(1).fail(storeUnavailable("away"));
      await settle();
      const failed = copy.news();
      stage.store.holding = false;
      copy.subscription.sync(2n);
      stage.clock.advance(FAILED_WATCH_READ_MS);
      await settle();
      expect([failed, copy.news()]).to.deep.equal([["unsynced 1 STORE_UNAVAILABLE"], ["synced 2 @1"]]);
    });

    it("says that there is none on a read-only database, and hands over what that holds all the same", async () => {
      stage.store.writable = false;
      commit("b");
      copy.subscription.sync(1n);
      await settle();
      stage.store.writable = true;
      copy.subscription.sync(2n);
      await settle();
      expect(copy.news()).to.deep.equal(["change b", "unsynced 1 NOT_FRESH", "change  @2", "synced 2 @2"]);
    });

    it("answers a failure that came after a success, to one who reads slowly, as the failure", async () => {
      copy.isStuck = true;
      copy.subscription.sync(1n);
      await settle();
      stage.store.writable = false;
      copy.subscription.sync(2n);
      await settle();
      copy.isStuck = false;
      copy.take();
      expect(copy.news()).to.deep.equal(["unsynced 2 NOT_FRESH"]);
    });

    it("refuses an id that does not grow, and goes on with those that do", async () => {
      copy.subscription.sync(3n);
      const refused = [3n, 2n, 0n].map((id) => {
        const { reason, violations } = thrownBy(() => copy.subscription.sync(id)) as ServiceError;
        return [reason, violations.map(({ field }) => field)];
      });
      copy.subscription.sync(4n);
      await settle();
      await settle();
      expect([refused, copy.news().at(-1)]).to.deep.equal([
        [3n, 2n, 0n].map(() => ["INVALID_REQUEST", ["sync.id"]]),
        "synced 4 @1",
      ]);
    });

    it("before the snapshot has been sent gives it when that has, and what changed meanwhile", async () => {
      await use({ entries: 30_000 });
      copy.subscription.close();
      const slow = await stage.open({ isStuck: true });
      slow.subscription.sync(1n);
      await settle();
      slow.isStuck = false;
      slow.take(2);
      slow.isStuck = true;
      commit("b");
      await stage.read();
      slow.isStuck = false;
      slow.take();
      const kinds = slow.news().map((text) => text.replace(/ (\? )*\?/, "").replace(/( a| b)+/, ""));
      // What is proven is older than the change: it need not wait for that.
      expect([kinds[0], ...new Set(kinds.slice(1, -3)), ...kinds.slice(-3)]).to.deep.equal([
        "snapshot of 30001",
        "part",
        "part @1",
        "synced 1 @1",
        "change @2",
      ]);
    });
  });

  describe("whose copy is slow", () => {
    it("loses nothing while what it lacks is kept, and catches up with few messages", async () => {
      copy.isStuck = true;
      for (const name of ["b", "c", "d"]) {
        commit(name);
        await stage.read();
      }
      copy.isStuck = false;
      copy.take();
      expect(copy.news()).to.deep.equal(["change b c d @4"]);
    });

    it("starts over once it is not, and is given proof only after all of it", async () => {
      copy.isStuck = true;
      commit("b");
      copy.subscription.sync(1n);
      await settle();
      for (let count = 0; count <= MAX_LOGGED_CHANGES; count++) {
        stage.changeLog.commit({ number: 3 + count, stamp: "0".repeat(16) });
      }
      copy.isStuck = false;
      copy.take();
      expect(copy.news()).to.deep.equal(["snapshot of 2", "part a b @2", "synced 1 @2"]);
      commit("c");
      await stage.read();
      expect(copy.news()).to.deep.equal(["change c @3"]);
    });
  });

  it("tells in a snapshot what changes while it is sent, in the snapshot or after it, and of no revision before its time", async () => {
    await use({ entries: 30_000 });
    copy.subscription.close();
    const slow = await stage.open({ isStuck: true });
    const later = Date.UTC(2035, 0, 1);
    const untils = new Map<string, number>();
    for (let step = 0; step < 12; step++) {
      slow.isStuck = false;
      slow.take(1);
      slow.isStuck = true;
      const changed = newEntries("large", 30_000).slice(step * 50, step * 50 + 50);
      stage.store.commit(...changed.map((entry) => ({ ...entry, expiresAt: later as EpochMs })));
      await stage.read();
    }
    slow.isStuck = false;
    slow.take();
    for (const columns of slow.columns) {
      eachOf(columns, (print, until) => {
        const name = print.join(" ");
        untils.set(name, Math.max(until, untils.get(name) ?? 0));
      });
    }
    const extended = [...untils.values()].filter((until) => until > later).length;
    const revisions = slow.story.flatMap((text) => /@(\d+)$/.exec(text)?.[1] ?? []).map(Number);
    expect([untils.size, extended]).to.deep.equal([30_001, 50 * (stage.store.revision.number - 1)]);
    expect(revisions).to.deep.equal([...new Set(revisions)].sort((one, other) => one - other));
    // The snapshot's own is that of its first part, whatever it holds beside it.
    expect([revisions[0], revisions.at(-1)]).to.deep.equal([2, stage.store.revision.number]);
  });

  it("leaves nothing behind when it is closed, also while a proof is under way", async () => {
    await hold();
    copy.subscription.sync(1n);
    copy.subscription.close();
    await settle();
    stage.store.holding = false;
    for (const held of stage.store.changes) await held.release();
    await settle();
    expect([copy.news(), stage.feed.size, stage.clock.pendingTimers]).to.deep.equal([[], 0, 0]);
  });

  it("ends with NOT_FRESH when the replica stops", async () => {
    stage.follower.stop();
    await settle();
    expect([copy.reason, stage.feed.size]).to.deep.equal(["NOT_FRESH", 0]);
  });
});
