import { expect } from "chai";
import { FollowerStage, settle } from "../../support/follower-stage.ts";
import { newEntries, newEntry } from "../../support/new-entry.ts";

describe("Follower", () => {
  let stage: FollowerStage;

  beforeEach(() => {
    stage = new FollowerStage();
  });

  describe("the log of changes", () => {
    /** The number of entries of each change in the log, and the revision that it completes. */
    const kept = () =>
      Array.from({ length: stage.changeLog.end - stage.changeLog.first }, (_, index) => {
        const change = stage.changeLog.changeNumbered(stage.changeLog.first + index);
        return [(change?.until.length ?? 0) / 8, change?.revision?.number];
      });
    const resumableFrom = (...numbers: number[]) =>
      numbers.filter((number) => stage.changeLog.positionAfter(number) !== undefined);

    it("begins with changes from before the index was loaded, so that copies survive a restart of the replica", async () => {
      for (let count = 0; count < 20; count++) stage.store.commit(newEntry(`before-${count}`));
      const closed = stage.changeLog.isOpen;
      await stage.load();
      stage.store.commit(newEntry("after"));
      await stage.prove();
      expect([closed, stage.changeLog.isOpen, kept(), resumableFrom(0, 1, 20, 21)]).to.deep.equal([
        false,
        true,
        [
          [20, 20],
          [1, 21],
        ],
        [0, 1, 20, 21],
      ]);
    });

    it("begins later, and over fewer commits, if the earlier changes have many rows", async () => {
      stage = new FollowerStage({ page: 200 });
      for (let count = 0; count < 500; count++) stage.store.commit(newEntry(`before-${count}`));
      await stage.load();
      expect([kept(), resumableFrom(0, 399, 400, 500)]).to.deep.equal([[[100, 500]], [400, 500]]);
      stage = new FollowerStage({ page: 5 });
      for (let count = 0; count < 500; count++) stage.store.commit(newEntry(`before-${count}`));
      await stage.load();
      expect([kept(), resumableFrom(0, 499, 500)]).to.deep.equal([[], [500]]);
    });

    it("misses no commit that is made while it begins", async () => {
      stage.store.commit(newEntry("a"));
      stage.follower.start();
      for (let step = 0; stage.follower.phase === "loading"; step++) {
        stage.store.commit(newEntry(`meanwhile-${step}`));
        for (const held of [...stage.store.scans, ...stage.store.changes]) await held.release();
        await settle();
      }
      stage.store.commit(newEntry("last"));
      const read = stage.prove();
      await read;
      const entries = kept().reduce((sum, [count]) => sum + (count ?? 0), 0);
      expect([entries, resumableFrom(0)]).to.deep.equal([stage.store.table.size, [0]]);
    });

    it("has nothing from before a loss, nor from before its end: a copy that lacks any of it starts over", async () => {
      for (let count = 0; count < 5; count++) stage.store.commit(newEntry(`before-${count}`));
      await stage.load();
      const { epoch } = stage.changeLog;
      stage.store.restore(3);
      stage.store.commit(newEntry("other"));
      stage.ask("reader");
      await settle();
      await stage.release();
      const closed = stage.changeLog.isOpen;
      await stage.releaseAll();
      expect([
        closed,
        stage.changeLog.isOpen,
        stage.changeLog.epoch !== epoch,
        kept(),
        resumableFrom(0, 3, 4),
      ]).to.deep.equal([false, true, true, [], [4]]);
    });

    it("is closed when the index is too large, and when the replica stops", async () => {
      stage = new FollowerStage({ maxEntries: 2 });
      await stage.load();
      stage.store.commit(...newEntries("a", 3));
      await stage.prove();
      const full = stage.changeLog.isOpen;
      stage = new FollowerStage();
      await stage.load();
      stage.follower.stop();
      expect([full, stage.changeLog.isOpen]).to.deep.equal([false, false]);
    });

    it("has a change before any proof that covers it", async () => {
      await stage.load();
      stage.store.commit(newEntry("a"));
      let seen: number | undefined;
      stage.follower.prove({
        cost: 1,
        proven: () => (seen = stage.changeLog.changeNumbered(stage.changeLog.end - 1)?.revision?.number),
        failed: () => {},
      });
      await settle();
      await stage.release();
      expect(seen).to.equal(1);
    });
  });
});
