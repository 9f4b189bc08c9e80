import { expect } from "chai";
import { MAX_LOGGED_CHANGES } from "../../src/blacklist/change-log.ts";
import { FAILED_WATCH_READ_MS, WATCH_READ_MS } from "../../src/blacklist/watch-hub.ts";
import type { EpochMs } from "../../src/entry.ts";
import { type ServiceError, storeUnavailable } from "../../src/errors.ts";
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

  /** From now on the test releases reads; the one for all subscriptions is the first of them, and has begun. */
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

  describe("with a sync request", () => {
    it("is given proof after all changes that were acknowledged before", async () => {
      commit("b", "c");
      copy.subscription.sync(1n);
      await settle();
      expect(copy.news()).to.deep.equal(["change b c @2", "synced 1 @2"]);
    });

    it("is given no proof by a read in flight, which may have begun before an acknowledged change", async () => {
      await hold();
      commit("b");
      copy.subscription.sync(1n);
      await settle();
      await release(0);
      const early = copy.news();
      await release(1);
      expect([early, copy.news()]).to.deep.equal([[], ["change b @2", "synced 1 @2"]]);
    });

    it("has one read for all requests that arrive meanwhile, and its answer has the last id", async () => {
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

    it("is given no proof while a page is full, nor before its last change", async () => {
      await use({ page: 2 });
      copy.news();
      await hold();
      await release(0);
      copy.subscription.sync(1n);
      await settle();
      commit("b", "c", "d");
      // The read for the sync has begun before this: it is in the next one.
      await release(1);
      expect(copy.news()).to.deep.equal(["synced 1 @1"]);
      copy.subscription.sync(2n);
      await settle();
      await release(2);
      const half = copy.news();
      await release(3);
      expect([half, copy.news()]).to.deep.equal([["change b c"], ["change d @2", "synced 2 @2"]]);
    });

    it("is told that there is no proof when the read fails, and is given proof again when one succeeds", async () => {
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

    it("is told that there is no proof on a read-only database, and still receives its changes", async () => {
      stage.store.writable = false;
      commit("b");
      copy.subscription.sync(1n);
      await settle();
      stage.store.writable = true;
      copy.subscription.sync(2n);
      await settle();
      expect(copy.news()).to.deep.equal(["change b", "unsynced 1 NOT_FRESH", "change  @2", "synced 2 @2"]);
    });

    it("is told of a failure that came after a success, even if it reads slowly", async () => {
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

    it("refuses an id that does not increase, and continues with those that do", async () => {
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

    it("before the snapshot has been sent is given proof after it, and the changes since", async () => {
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
      // The proof is older than the change, so it need not wait for it.
      expect([kinds[0], ...new Set(kinds.slice(1, -3)), ...kinds.slice(-3)]).to.deep.equal([
        "snapshot of 30001",
        "part",
        "part @1",
        "synced 1 @1",
        "change @2",
      ]);
    });
  });

  describe("of a slow copy", () => {
    it("loses nothing while its log position is kept, and catches up with few messages", async () => {
      copy.isStuck = true;
      for (const name of ["b", "c", "d"]) {
        commit(name);
        await stage.read();
      }
      copy.isStuck = false;
      copy.take();
      expect(copy.news()).to.deep.equal(["change b c d @4"]);
    });

    it("starts over once its log position is dropped, and is given proof only after the whole snapshot", async () => {
      copy.isStuck = true;
      commit("b");
      copy.subscription.sync(1n);
      await settle();
      for (let count = 0; count <= MAX_LOGGED_CHANGES; count++) {
        stage.changeLog.endChange({ number: 3 + count, stamp: "0".repeat(16) });
      }
      copy.isStuck = false;
      copy.take();
      expect(copy.news()).to.deep.equal(["snapshot of 2", "part a b @2", "synced 1 @2"]);
      commit("c");
      await stage.read();
      expect(copy.news()).to.deep.equal(["change c @3"]);
    });
  });

  it("has changes during a snapshot sent in it or after it, and no revision before its entries", async () => {
    await use({ entries: 30_000 });
    copy.subscription.close();
    const slow = await stage.open({ isStuck: true });
    const later = Date.UTC(2035, 0, 1);
    const expiries = new Map<string, number>();
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
      eachOf(columns, (fingerprint, until) => {
        const name = fingerprint.join(" ");
        expiries.set(name, Math.max(until, expiries.get(name) ?? 0));
      });
    }
    const extended = [...expiries.values()].filter((until) => until > later).length;
    const revisions = slow.story.flatMap((text) => /@(\d+)$/.exec(text)?.[1] ?? []).map(Number);
    expect([expiries.size, extended]).to.deep.equal([30_001, 50 * (stage.store.revision.number - 1)]);
    expect(revisions).to.deep.equal([...new Set(revisions)].sort((one, other) => one - other));
    // The snapshot's revision is that of its first part, even if it has later entries, too.
    expect([revisions[0], revisions.at(-1)]).to.deep.equal([2, stage.store.revision.number]);
  });

  it("leaves nothing behind when it is closed, even while a proof is in progress", async () => {
    await hold();
    copy.subscription.sync(1n);
    copy.subscription.close();
    await settle();
    stage.store.holding = false;
    for (const held of stage.store.changes) await held.release();
    await settle();
    expect([copy.news(), stage.watchHub.size, stage.clock.pendingTimers]).to.deep.equal([[], 0, 0]);
  });

  it("ends with NOT_FRESH when the replica stops", async () => {
    stage.follower.stop();
    await settle();
    expect([copy.reason, stage.watchHub.size]).to.deep.equal(["NOT_FRESH", 0]);
  });
});
