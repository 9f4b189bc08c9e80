import { expect } from "chai";
import { MAX_LOGGED_CHANGES } from "../../src/blacklist/change-log.ts";
import { MAX_SNAPSHOTS, SNAPSHOT_TURN_MS } from "../../src/blacklist/snapshot-turns.ts";
import { FAILED_WATCH_READ_MS, WATCH_READ_MS } from "../../src/blacklist/watch-hub.ts";
import type { EpochMs } from "../../src/entry.ts";
import { storeUnavailable } from "../../src/errors.ts";
import { eachOf } from "../../src/token-index/columns.ts";
import { memoryInUse } from "../support/memory-in-use.ts";
import { newEntries, newEntry } from "../support/new-entry.ts";
import { reasonOf } from "../support/rejection.ts";
import { type KeptCopy, LEEWAY, settle, WatchHubStage } from "../support/watch-hub-stage.ts";

const at = (ms: number) => ({ expiresAt: ms as EpochMs });
const NAMES = ["a", "b", "c", "d", "e", "f", "g", "own"];

describe("the watch hub", () => {
  let stage: WatchHubStage;

  async function use(options: { maxEntries?: number; page?: number } = {}): Promise<void> {
    stage = new WatchHubStage(options);
    stage.store.commit(newEntry("a"));
    await stage.load();
    stage.know(...NAMES);
  }

  beforeEach(() => use());

  /** Commits these entries, and returns the revision. */
  function commit(...names: string[]) {
    stage.store.commit(...names.map((name) => newEntry(name)));
    return stage.store.revision;
  }

  describe("sends a copy", () => {
    it("a snapshot, and then each change", async () => {
      commit("b");
      const copy = await stage.open();
      commit("c", "d");
      await stage.read();
      commit("e");
      commit("f");
      await stage.read();
      expect(copy.story).to.deep.equal(["snapshot of 2", "part a b @2", "change c d @3", "change e f @5"]);
    });

    it("with a revision only the later changes, without gaps or duplicates", async () => {
      const has = commit("b");
      await (await stage.open()).subscription.close();
      commit("c");
      await stage.open();
      await stage.read();
      commit("d");
      const [behind, current] = [
        await stage.open({ revision: has }),
        await stage.open({ revision: stage.store.revision }),
      ];
      commit("e");
      await stage.read();
      expect([behind.story, current.story]).to.deep.equal([
        ["changes", "change c d @4", "change e @5"],
        ["changes", "change e @5"],
      ]);
    });

    it("of another replica the commits that this replica has not read yet", async () => {
      const has = commit("b");
      const copy = await stage.open({ revision: has });
      commit("c");
      await stage.read();
      expect(copy.story).to.deep.equal(["changes", "change c @3"]);
    });

    it("a snapshot, if its revision is ahead of the database, has another stamp, or its key differs", async () => {
      const revision = commit("b");
      const stories = [
        await stage.open({ revision: { ...revision, number: revision.number + 1 } }),
        await stage.open({ revision: { ...revision, stamp: "f".repeat(16) } }),
        await stage.open({ revision, key: new Uint8Array(32) }),
      ].map(({ story }) => story);
      expect(stories).to.deep.equal(stories.map(() => ["snapshot of 2", "part a b @2"]));
    });

    it("a snapshot, if the changes since its revision are no longer kept", async () => {
      const has = stage.store.revision;
      for (let count = 0; count < 1100; count++) stage.store.commit(newEntry(`${count % 7}`));
      const late = new WatchHubStage({ page: 100 });
      stage.store.page = 100;
      for (let count = 0; count < 1100; count++) late.store.commit(newEntry(`many-${count}`));
      await late.load();
      // A hundred rows would be a full page: ten commits are kept.
      const { number } = late.store.revision;
      const opened: Record<number, string | undefined> = {};
      for (const back of [0, 1, 10, 11, 100]) {
        const revision = { number: number - back, stamp: (number - back).toString(16).padStart(16, "0") };
        opened[back] = (await late.open({ revision })).story[0];
      }
      expect(opened).to.deep.equal({
        0: "changes",
        1: "changes",
        10: "changes",
        11: "snapshot of 1100",
        100: "snapshot of 1100",
      });
      expect(has.number).to.equal(1);
    });

    it("no entry that is expired by both clocks, and the expiry of the others", async () => {
      await use();
      const now = stage.clock.now();
      stage.store.commit(newEntry("b", at(now + 1000)), newEntry("c", at(now + 2000)));
      const first = await stage.open();
      await stage.read();
      // The index has been swept, and is not again for another second.
      stage.clock.advance(1000 + LEEWAY - WATCH_READ_MS - 200);
      await settle();
      const last = await stage.open({ isStuck: true });
      stage.clock.advance(200);
      await settle();
      last.isStuck = false;
      last.take();
      expect(stage.follower.entries.size).to.equal(3);
      const expiries: Record<string, number[]> = {};
      for (const [name, copy] of Object.entries({ first, last })) {
        expiries[name] = [];
        for (const columns of copy.columns) eachOf(columns, (_, until) => expiries[name]?.push(until));
        expiries[name].sort((one, other) => one - other);
      }
      const year = Date.UTC(2031, 0, 1) + LEEWAY;
      expect(expiries).to.deep.equal({
        first: [now + 1000 + LEEWAY, now + 2000 + LEEWAY, year],
        last: [now + 2000 + LEEWAY, year],
      });
    });

    it("an extension, as a later expiry", async () => {
      const copy = await stage.open();
      const later = Date.UTC(2033, 0, 1);
      stage.store.commit(newEntry("a", at(later)));
      await stage.read();
      const expiries: number[] = [];
      for (const columns of copy.columns) eachOf(columns, (_, until) => expiries.push(until));
      expect(expiries).to.deep.equal([Date.UTC(2031, 0, 1) + LEEWAY, later + LEEWAY]);
    });

    it("no revision while a page is full: only the last page completes it", async () => {
      await use({ page: 2 });
      const copy = await stage.open();
      commit("b", "c", "d", "e");
      stage.store.holding = true;
      await stage.read();
      const came = [copy.news()];
      for (let page = 0; page < 3; page++) {
        await stage.store.changes.at(-1)?.release();
        await settle();
        came.push(copy.news());
      }
      expect(came).to.deep.equal([
        ["snapshot of 1", "part a @1"],
        ["change b c"],
        ["change d e"],
        ["change  @2"],
      ]);
    });

    it("the rows of a read-only database, and no revision that it might lack", async () => {
      const copy = await stage.open();
      stage.store.writable = false;
      commit("b");
      await stage.read();
      stage.store.writable = true;
      stage.clock.advance(FAILED_WATCH_READ_MS);
      await settle();
      expect(copy.story.slice(2)).to.deep.equal(["change b", "change  @2"]);
    });
  });

  it("opens no subscription without proof: the database is unavailable or read-only", async () => {
    stage.store.holding = true;
    stage.store.changes.splice(0);
    const away = reasonOf(stage.open());
    await settle();
    await stage.store.changes[0]?.fail(storeUnavailable("away"));
    stage.store.holding = false;
    stage.store.writable = false;
    stage.clock.advance(1000);
    const readOnly = reasonOf(stage.open());
    await settle();
    expect([await away, await readOnly, stage.watchHub.size]).to.deep.equal([
      "STORE_UNAVAILABLE",
      "NOT_FRESH",
      0,
    ]);
  });

  it("opens no subscription before the index is loaded, nor when it is too large", async () => {
    const early = new WatchHubStage();
    expect(await reasonOf(early.open())).to.equal("NOT_FRESH");
    await use({ maxEntries: 2 });
    const copy = await stage.open();
    stage.store.commit(...newEntries("more", 2));
    await stage.read();
    expect([copy.reason, await reasonOf(stage.open()), stage.watchHub.size]).to.deep.equal([
      "NOT_FRESH",
      "NOT_FRESH",
      0,
    ]);
  });

  describe("when the database has lost commits", () => {
    let copy: KeptCopy;

    beforeEach(async () => {
      commit("b");
      copy = await stage.open();
      commit("c");
      await stage.read();
      expect(copy.news()).to.deep.equal(["snapshot of 2", "part a b @2", "change c @3"]);
    });

    it("ends with NOT_FRESH, and begins with a snapshot of the index, with both histories", async () => {
      const lost = stage.store.revision;
      stage.store.restore(2);
      commit("d");
      stage.store.holding = true;
      await stage.read();
      await stage.store.changes.at(-1)?.release();
      await settle();
      const refused = await reasonOf(stage.open({ revision: lost }));
      expect([stage.follower.phase, copy.reason, refused]).to.deep.equal([
        "rebuilding",
        "NOT_FRESH",
        "NOT_FRESH",
      ]);
      stage.store.holding = false;
      await stage.store.changes.at(-1)?.release();
      await settle();
      const again = await stage.open({ revision: lost });
      expect(again.story).to.deep.equal(["snapshot of 4", "part a b c d @3"]);
    });

    it("sends lost entries even to a copy that lacks only those", async () => {
      const kept = { number: 2, stamp: "2".padStart(16, "0") };
      stage.store.restore(2);
      await stage.read();
      const again = await stage.open({ revision: kept });
      expect(again.story).to.deep.equal(["snapshot of 3", "part a b c @2"]);
    });

    it("starts over for a copy that was too slow to notice, and gives no proof from before", async () => {
      copy.isStuck = true;
      copy.subscription.sync(1n);
      await settle();
      stage.store.restore(2);
      commit("d");
      await stage.read();
      await settle();
      copy.isStuck = false;
      copy.take();
      expect(copy.story).to.deep.equal(["snapshot of 4", "part a b c d @3", "unsynced 1 NOT_FRESH"]);
    });
  });

  describe("a caller whose own token is blacklisted", () => {
    it("is refused", async () => {
      commit("own");
      expect(await reasonOf(stage.open({ own: "own" }))).to.equal("UNAUTHENTICATED");
      expect(stage.watchHub.size).to.equal(0);
    });

    it("is disconnected by the read that finds it, before anything else is sent", async () => {
      const [one, other] = [await stage.open({ own: "own" }), await stage.open({ own: "else" })];
      for (const copy of [one, other]) copy.news();
      commit("own", "b");
      await stage.read();
      expect([one.news(), one.reason, other.news(), other.reason, stage.watchHub.size]).to.deep.equal([
        [],
        "UNAUTHENTICATED",
        ["change b own @2"],
        undefined,
        1,
      ]);
    });
  });

  describe("the reads", () => {
    const reads = () => stage.store.changes.length;

    it("run every few milliseconds while there is a subscription, one for all, and stop with the last", async () => {
      const copies = [await stage.open(), await stage.open(), await stage.open()];
      const before = reads();
      for (let count = 0; count < 10; count++) await stage.read();
      expect(reads() - before).to.equal(10);
      for (const { subscription } of copies) subscription.close();
      const { pendingTimers } = stage.clock;
      await stage.read();
      await stage.read();
      expect([reads() - before, pendingTimers]).to.deep.equal([10, 0]);
    });

    it("are no more when subscriptions open and close during a read", async () => {
      const first = await stage.open();
      stage.store.holding = true;
      for (let count = 0; count < 5; count++) {
        stage.clock.advance(WATCH_READ_MS);
        await settle();
      }
      first.subscription.close();
      const opening = Array.from({ length: 3 }, () => stage.open());
      await settle();
      stage.store.holding = false;
      for (let count = 0; count < 3; count++) {
        for (const held of stage.store.changes) await held.release();
        await settle();
      }
      await Promise.all(opening);
      expect(stage.clock.pendingTimers).to.equal(1);
      const before = reads();
      for (let count = 0; count < 5; count++) await stage.read();
      expect(reads() - before).to.equal(5);
    });

    it("continue after a failed one, more slowly", async () => {
      const copy = await stage.open();
      copy.news();
      stage.store.holding = true;
      stage.clock.advance(WATCH_READ_MS);
      await settle();
      const before = reads();
      await stage.store.changes.at(-1)?.fail(storeUnavailable("away"));
      stage.store.holding = false;
      commit("b");
      stage.clock.advance(FAILED_WATCH_READ_MS - 1);
      await settle();
      const early = reads() - before;
      stage.clock.advance(1);
      await settle();
      expect([early, copy.news()]).to.deep.equal([0, ["change b @2"]]);
    });
  });

  describe("snapshots", () => {
    /** Commits enough entries for a snapshot of several parts. */
    async function useLarge(): Promise<void> {
      stage = new WatchHubStage();
      stage.store.commit(...newEntries("large", 30_000));
      await stage.load();
    }

    /** Begins to receive a snapshot, and has received this many messages of it. */
    async function begin(taken: number): Promise<KeptCopy> {
      const copy = await stage.open({ isStuck: true });
      copy.isStuck = false;
      copy.take(taken);
      copy.isStuck = true;
      return copy;
    }

    const isComplete = ({ story }: KeptCopy) => story.at(-1)?.endsWith("@1") === true;
    const go = (copy: KeptCopy) => {
      copy.isStuck = false;
      copy.take();
    };

    beforeEach(useLarge);

    it("are sent to a few at once; the others are told to wait, and get a turn when one ends or leaves", async () => {
      const first: KeptCopy[] = [];
      for (let count = 0; count < MAX_SNAPSHOTS; count++) first.push(await begin(2));
      const waiting = [await begin(5), await begin(5), await begin(5)];
      expect(waiting.map(({ story }) => story)).to.deep.equal(waiting.map(() => ["snapshot of 30000"]));
      expect(first.map(({ story }) => story.length)).to.deep.equal(first.map(() => 2));
      for (const copy of waiting) copy.isStuck = false;
      go(first[0] as KeptCopy);
      await settle();
      const afterOne = waiting.map(isComplete);
      first[1]?.subscription.close();
      await settle();
      expect([isComplete(first[0] as KeptCopy), afterOne, waiting.map(isComplete)]).to.deep.equal([
        true,
        // A released turn passes to the next until all are done.
        [true, true, true],
        [true, true, true],
      ]);
    });

    it("skip receivers that do not read, so that a few stalled ones do not hold up the others, and continue where they were", async () => {
      const stuck: KeptCopy[] = [];
      for (let count = 0; count < MAX_SNAPSHOTS; count++) stuck.push(await begin(2));
      const waiting = await begin(5);
      waiting.isStuck = false;
      const done: boolean[] = [];
      for (let waited = 0; waited <= SNAPSHOT_TURN_MS; waited += SNAPSHOT_TURN_MS / 2) {
        await stage.read();
        done.push(isComplete(waiting));
        stage.clock.advance(SNAPSHOT_TURN_MS / 2);
        await settle();
      }
      await stage.read();
      done.push(isComplete(waiting));
      for (const copy of stuck) go(copy);
      await settle();
      expect([done[0], done.at(-1), stuck.map(isComplete)]).to.deep.equal([
        false,
        true,
        stuck.map(() => true),
      ]);
      const parts = stuck.map(({ columns }) => columns.reduce((sum, { until }) => sum + until.length / 8, 0));
      expect(parts).to.deep.equal(stuck.map(() => 30_000));
    });

    it("of which nothing has been sent begin when their turn comes, after any number of changes", async () => {
      const first: KeptCopy[] = [];
      for (let count = 0; count < MAX_SNAPSHOTS; count++) first.push(await begin(2));
      const waiting = await begin(5);
      waiting.isStuck = false;
      stage.store.commit(newEntry("a"));
      await stage.read();
      for (let count = 0; count <= MAX_LOGGED_CHANGES; count++) {
        stage.changeLog.endChange({ number: 3 + count, stamp: "0".repeat(16) });
      }
      go(first[0] as KeptCopy);
      await settle();
      const { story } = waiting;
      expect([
        story.filter((text) => text.startsWith("snapshot")).length,
        story.at(-1)?.endsWith("@2"),
      ]).to.deep.equal([1, true]);
    });

    it("keep nothing of their size in memory", async () => {
      const copies: KeptCopy[] = [];
      for (let count = 0; count < 20; count++) {
        const copy = await begin(0);
        go(copy);
        await settle();
        expect(isComplete(copy)).to.equal(true);
        copy.columns.splice(0);
        copies.push(copy);
      }
      const { arrayBuffers } = await memoryInUse();
      for (const { subscription } of copies.splice(0)) subscription.close();
      const after = await memoryInUse();
      expect((arrayBuffers - after.arrayBuffers) / 20, "bytes of one").to.be.below(100_000);
    });
  });
});
