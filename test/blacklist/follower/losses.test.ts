import { expect } from "chai";
import { LOAD_RETRY_MS } from "../../../src/blacklist/follower.ts";
import { FollowerStage, settle } from "../../support/follower-stage.ts";
import { newEntries, newEntry } from "../../support/new-entry.ts";

describe("Follower", () => {
  let stage: FollowerStage;

  beforeEach(() => {
    stage = new FollowerStage();
  });

  describe("a database that has lost commits", () => {
    const accidents: Record<string, { happens: () => void; new: string[] }> = {
      "at an older revision": { happens: () => stage.store.restore(1), new: [] },
      "at the same number of another history": {
        happens: () => {
          stage.store.restore(1);
          stage.store.commit(newEntry("new"));
        },
        new: ["new"],
      },
      "at a later revision of another history": {
        happens: () => {
          stage.store.restore(1);
          for (const name of ["new", "newer", "newest"]) stage.store.commit(newEntry(name));
        },
        new: ["new", "newer", "newest"],
      },
    };

    beforeEach(() => {
      stage.store.commit(newEntry("kept"));
      stage.store.commit(newEntry("lost"));
    });

    for (const [what, { happens, new: fresh }] of Object.entries(accidents)) {
      it(`${what}: gives no negatives, forgets nothing, and ends with the union of both histories`, async () => {
        await stage.load();
        await stage.prove();
        const lost = stage.store.revision;
        expect(stage.follower.reflects(lost)).to.equal(true);
        happens();
        stage.ask("early");
        await settle();
        stage.ask("late");
        await stage.release();
        stage.ask("later");
        await settle();
        expect(stage.told).to.include({ early: "NOT_FRESH", late: "NOT_FRESH", later: "NOT_FRESH" });
        expect([
          stage.follower.phase,
          stage.follower.isComplete,
          stage.follower.staleness,
          stage.follower.reflects(lost),
          stage.known("kept", "lost"),
          stage.logged(/lost commits/).map(({ level, revision }) => [level, revision]),
        ]).to.deep.equal([
          "rebuilding",
          true,
          Number.POSITIVE_INFINITY,
          false,
          ["kept", "lost"],
          [["error", 2]],
        ]);
        await stage.releaseAll();
        expect([
          stage.follower.phase,
          stage.follower.staleness,
          stage.follower.reflects(lost),
          stage.known("kept", "lost", ...fresh),
        ]).to.deep.equal(["following", Number.POSITIVE_INFINITY, false, ["kept", "lost", ...fresh]]);
        expect(await stage.prove()).to.equal(`proven at ${stage.store.revision.number}`);
      });

      it(`${what} while the index was loaded: gives no negatives before both histories are loaded`, async () => {
        stage.follower.start();
        await settle();
        await stage.release();
        happens();
        await stage.store.scans[0]?.release();
        await settle();
        await stage.release();
        stage.ask("reader");
        expect([
          stage.told,
          stage.follower.phase,
          stage.known("kept", "lost"),
          stage.clock.pendingTimers,
        ]).to.deep.equal([{ reader: "NOT_FRESH" }, "rebuilding", ["kept", "lost"], 1]);
        stage.clock.advance(LOAD_RETRY_MS);
        await settle();
        await stage.releaseAll();
        expect([
          stage.follower.phase,
          stage.known("kept", "lost", ...fresh),
          await stage.prove(),
        ]).to.deep.equal([
          "following",
          ["kept", "lost", ...fresh],
          `proven at ${stage.store.revision.number}`,
        ]);
      });
    }

    it("is read again with the commits that are made meanwhile", async () => {
      await stage.load();
      stage.store.restore(1);
      await stage.prove();
      await stage.release();
      stage.store.commit(newEntry("a"));
      await stage.releaseAll();
      expect([stage.follower.phase, stage.known("a"), stage.follower.applied]).to.deep.equal([
        "following",
        ["a"],
        stage.store.revision,
      ]);
    });

    it("is read again after any number of failures, and gives no negatives until then", async () => {
      await stage.load();
      stage.store.restore(1);
      await stage.prove();
      for (let attempt = 0; attempt < 3; attempt++) {
        await stage.fail();
        expect([stage.follower.phase, stage.known("lost")]).to.deep.equal(["rebuilding", ["lost"]]);
        stage.clock.advance(LOAD_RETRY_MS);
        await settle();
      }
      await stage.releaseAll();
      expect([stage.follower.phase, stage.known("lost"), await stage.prove()]).to.deep.equal([
        "following",
        ["lost"],
        "proven at 1",
      ]);
    });

    it("and loses them again while it is read again: the index is the union of all three histories", async () => {
      await stage.load();
      stage.store.restore(1);
      stage.store.commit(newEntry("second"));
      await stage.prove();
      await stage.release();
      stage.store.scans.splice(0, stage.store.scans.length - 1);
      await stage.store.scans[0]?.release();
      // The second history is lost, too, before loading has caught up with it.
      stage.store.restore(1);
      stage.store.commit(newEntry("third"));
      await stage.release();
      await stage.prove();
      for (let attempt = 0; stage.follower.phase !== "following" && attempt < 5; attempt++) {
        stage.clock.advance(LOAD_RETRY_MS);
        await settle();
        await stage.releaseAll();
      }
      await stage.prove("at last");
      expect([stage.told["at last"], stage.known("kept", "lost", "second", "third")]).to.deep.equal([
        "proven at 2",
        ["kept", "lost", "second", "third"],
      ]);
    });

    it("between two pages: the first page is of the lost history, and the second gives no proof", async () => {
      stage = new FollowerStage({ page: 2 });
      await stage.load();
      stage.store.commit(...newEntries("a", 3));
      stage.ask("reader");
      await settle();
      stage.store.restore(0);
      stage.store.commit(...newEntries("b", 3));
      await stage.release();
      await stage.release();
      expect([stage.told, stage.follower.phase]).to.deep.equal([{ reader: "NOT_FRESH" }, "rebuilding"]);
      await stage.releaseAll();
      expect([stage.known("a-0", "a-1", "b-0", "b-1", "b-2"), await stage.prove()]).to.deep.equal([
        ["a-0", "a-1", "b-0", "b-1", "b-2"],
        "proven at 1",
      ]);
    });
  });
});
