import { expect } from "chai";
import { LOAD_RETRY_MS } from "../../../src/blacklist/follower.ts";
import type { Jti } from "../../../src/entry.ts";
import { INDEX_RETRY_MS, KEPT_STAMPS, SWEEP_INDEX_MS } from "../../../src/limits.ts";
import { at, FollowerStage, HOUR, LEEWAY, settle } from "../../support/follower-stage.ts";
import { newEntries, newEntry } from "../../support/new-entry.ts";

describe("Follower", () => {
  let stage: FollowerStage;

  beforeEach(() => {
    stage = new FollowerStage();
  });

  it("applies an extension, and keeps the later expiry", async () => {
    const [sooner, later] = [at(Date.UTC(2030, 6, 1)), at(Date.UTC(2031, 6, 1))];
    stage.store.commit(newEntry("a", sooner));
    await stage.load();
    stage.store.commit(newEntry("a", later));
    await stage.prove();
    expect(stage.follower.entries.expiryOf("a" as Jti)).to.equal(later.expiresAt);
    // A restored database has the shorter expiry again.
    stage.store.restore(0);
    stage.store.commit(newEntry("a", sooner));
    await stage.prove();
    await stage.releaseAll();
    expect([stage.follower.phase, stage.follower.entries.expiryOf("a" as Jti)]).to.deep.equal([
      "following",
      later.expiresAt,
    ]);
  });

  describe("a revision", () => {
    beforeEach(() => stage.load());

    it("is reflected once it has been read here and everything up to it is in the index", async () => {
      stage.store.commit(newEntry("a"));
      const first = stage.store.revision;
      const before = stage.follower.reflects(first);
      await stage.prove();
      stage.store.commit(newEntry("b"));
      const second = stage.store.revision;
      stage.store.commit(newEntry("c"));
      await stage.prove();
      expect({
        before,
        first: stage.follower.reflects(first),
        neverReadItself: stage.follower.reflects(second),
        last: stage.follower.reflects(stage.store.revision),
        otherStamp: stage.follower.reflects({ ...first, stamp: "f".repeat(16) }),
        ahead: stage.follower.reflects({ number: 4, stamp: stage.store.revision.stamp }),
      }).to.deep.equal({
        ...{ before: false, first: true, neverReadItself: false, last: true, otherStamp: false },
        ahead: false,
      });
    });

    it("is remembered among the latest ten thousand, no longer", async () => {
      stage.store.holding = false;
      const revisions = [];
      for (let count = 0; count <= KEPT_STAMPS; count++) {
        stage.store.commit();
        revisions.push(stage.store.revision);
        await stage.follower.databaseState();
      }
      expect(
        [revisions[0], revisions[1], revisions.at(-1)].map((one) => stage.follower.reflects(one as never)),
      )
        // Loading has read one more.
        .to.deep.equal([false, true, true]);
    });

    it("is not reflected while the index is rebuilt, although its number is below the lost ones", async () => {
      stage = new FollowerStage({ page: 2 });
      await stage.load();
      for (const entry of newEntries("lost", 5)) stage.store.commit(entry);
      stage.ask("reader");
      await settle();
      await stage.releaseAll();
      stage.store.restore(0);
      await stage.prove();
      await stage.release();
      stage.store.commit(...newEntries("a", 3));
      await stage.store.scans.at(-1)?.release();
      await settle();
      // The first page of the changes since rebuilding began.
      await stage.release();
      const during = stage.follower.reflects(stage.store.revision);
      await stage.releaseAll();
      expect([during, stage.follower.phase, stage.follower.reflects(stage.store.revision)]).to.deep.equal([
        false,
        "following",
        true,
      ]);
    });

    it("of a history that was lost between two indexes is not reflected when the index is loaded again", async () => {
      stage = new FollowerStage({ maxEntries: 2 });
      await stage.load();
      stage.store.commit(newEntry("acknowledged"));
      const lost = stage.store.revision;
      await stage.prove();
      stage.store.commit(newEntry("b"), newEntry("c"));
      await stage.prove();
      expect(stage.follower.phase).to.equal("overflowed");
      stage.store.restore(0);
      for (const name of ["x", "y"]) stage.store.commit(newEntry(name));
      stage.clock.advance(INDEX_RETRY_MS);
      await settle();
      await stage.releaseAll();
      expect([
        stage.follower.phase,
        stage.known("acknowledged"),
        stage.follower.reflects(lost),
      ]).to.deep.equal(["following", [], false]);
    });

    it("of a history that was lost between two pages of a load is not reflected", async () => {
      stage = new FollowerStage({ page: 2 });
      stage.follower.start();
      await settle();
      await stage.release();
      stage.store.commit(...newEntries("acknowledged", 3));
      const lost = stage.store.revision;
      await stage.store.scans[0]?.release();
      await settle();
      // The first page of the changes since then; two of the three.
      stage.store.restore(0);
      await stage.release();
      await stage.release();
      for (const name of ["x", "y"]) stage.store.commit(newEntry(name));
      stage.clock.advance(LOAD_RETRY_MS);
      await settle();
      await stage.releaseAll();
      expect([
        stage.follower.phase,
        stage.known("acknowledged-2"),
        stage.follower.reflects(lost),
      ]).to.deep.equal(["following", [], false]);
    });
  });

  describe("sweeping", () => {
    const EXPIRES_AT = Date.UTC(2030, 0, 2);
    const END = EXPIRES_AT + LEEWAY;

    /** How many of two entries remain when the two clocks have these values. */
    async function leftAt({ service, database }: { service: number; database: number }): Promise<number> {
      stage = new FollowerStage();
      stage.store.commit(newEntry("short", at(EXPIRES_AT)), newEntry("long"));
      await stage.load();
      stage.store.skewMs = database - service;
      stage.clock.advance(service - stage.clock.now());
      await stage.prove();
      return stage.follower.entries.size;
    }

    it("removes entries that are expired by both clocks and the leeway, to the millisecond, and no others", async () => {
      const steps = [-1, 0, 1];
      const left: number[] = [];
      for (const service of steps) {
        for (const database of steps)
          left.push(await leftAt({ service: END + service, database: END + database }));
      }
      expect(left).to.deep.equal(
        steps.flatMap((service) => steps.map((database) => (service >= 0 && database >= 0 ? 1 : 2))),
      );
    });

    it("removes nothing by one clock alone, however far ahead", async () => {
      expect([
        await leftAt({ service: END + HOUR, database: END - 1 }),
        await leftAt({ service: END - 1, database: END + HOUR }),
      ]).to.deep.equal([2, 2]);
    });

    it("runs at most once a second", async () => {
      stage.store.commit(newEntry("short", at(EXPIRES_AT)));
      await stage.load();
      stage.clock.advance(END - 1 - stage.clock.now());
      await stage.prove();
      const sizes: number[] = [];
      for (const step of [1, SWEEP_INDEX_MS - 2, 1]) {
        stage.clock.advance(step);
        await stage.prove();
        sizes.push(stage.follower.entries.size);
      }
      expect(sizes).to.deep.equal([1, 1, 0]);
    });
  });
});
