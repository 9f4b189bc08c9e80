import { expect } from "chai";
import { LOAD_RETRY_MS } from "../../../src/blacklist/follower.ts";
import type { Jti } from "../../../src/entry.ts";
import { INDEX_RETRY_MS } from "../../../src/limits.ts";
import { AWAY, at, FollowerStage, LEEWAY, positionOf, settle } from "../../support/follower-stage.ts";
import { turn } from "../../support/held-store.ts";
import { newEntries, newEntry } from "../../support/new-entry.ts";

describe("Follower", () => {
  let stage: FollowerStage;

  beforeEach(() => {
    stage = new FollowerStage();
  });

  describe("loading", () => {
    const NAMES = ["a", "b", "c", "d", "e"];

    beforeEach(() => {
      stage = new FollowerStage({ page: 2 });
      stage.store.commit(...NAMES.map((name) => newEntry(name)));
    });

    it("reads every page, and is complete only with the changes since it began", async () => {
      stage.follower.start();
      await settle();
      await stage.release();
      // On the page read before, on one still to be read, and on the page being read.
      stage.store.commit(newEntry("a", at(Date.UTC(2033, 0, 1))), newEntry("aa"), newEntry("z"));
      const phases: string[] = [];
      for (let scan = 0; scan < 3; scan++) {
        phases.push(`${stage.follower.phase} ${stage.follower.isComplete}`);
        await stage.store.scans[scan]?.release();
        await settle();
      }
      phases.push(`${stage.follower.phase} ${stage.follower.isComplete}`);
      stage.store.commit(newEntry("zz"));
      await stage.releaseAll();
      expect([phases, stage.follower.phase, stage.follower.isComplete]).to.deep.equal([
        Array(4).fill("loading false"),
        "following",
        true,
      ]);
      expect([
        stage.known(...NAMES, "aa", "z", "zz"),
        stage.follower.entries.expiryOf("a" as Jti),
      ]).to.deep.equal([[...NAMES, "aa", "z", "zz"], Date.UTC(2033, 0, 1)]);
      expect(stage.logged(/index loaded/).map(({ entries }) => entries)).to.deep.equal([8]);
    });

    it("follows from the revision that was read before the first page", async () => {
      stage.follower.start();
      await settle();
      await stage.release();
      stage.store.commit(newEntry("f"));
      await stage.releaseAll();
      // The first was to see which revision is current, the last one is for the log of changes.
      expect([positionOf(stage.store.changes[1]?.input), stage.follower.applied]).to.deep.equal([
        [2, ""],
        stage.store.revision,
      ]);
    });

    it("gives no proof before it is complete, and has infinite staleness afterwards until the first proof", async () => {
      stage.ask("too early");
      expect(stage.told).to.deep.equal({ "too early": "NOT_FRESH" });
      await stage.load();
      expect([stage.follower.staleness, await stage.prove(), stage.follower.staleness]).to.deep.equal([
        Number.POSITIVE_INFINITY,
        "proven at 1",
        0,
      ]);
    });

    for (const step of ["opening", "the first read", "a page", "another page", "the read of later changes"]) {
      it(`is retried after a pause when ${step} fails, and logs one line`, async () => {
        for (let attempt = 0; attempt < 2; attempt++) {
          stage.store.changes.splice(0);
          stage.store.scans.splice(0);
          if (step === "opening") stage.store.openFailure = AWAY;
          if (attempt === 0) stage.follower.start();
          else stage.clock.advance(LOAD_RETRY_MS);
          await settle();
          if (step === "the first read") await stage.fail();
          else if (step !== "opening") await stage.release();
          for (const [scan, name] of ["a page", "another page", "the last"].entries()) {
            await (name === step ? stage.store.scans[scan]?.fail(AWAY) : stage.store.scans[scan]?.release());
            await settle();
          }
          if (step === "the read of later changes") await stage.fail();
          expect([stage.follower.phase, stage.clock.pendingTimers]).to.deep.equal(["loading", 1]);
        }
        stage.store.openFailure = undefined;
        stage.clock.advance(LOAD_RETRY_MS - 1);
        await settle();
        const tooEarly = stage.store.changes.length;
        stage.clock.advance(1);
        await settle();
        expect(stage.store.changes.length - tooEarly).to.equal(1);
        await stage.releaseAll();
        expect([stage.follower.phase, stage.known(...NAMES), stage.clock.pendingTimers]).to.deep.equal([
          "following",
          NAMES,
          0,
        ]);
        expect(stage.logged(/cannot be loaded/)).to.have.length(1);
      });
    }

    it("yields to other work after every page", async () => {
      stage.follower.start();
      await settle();
      await stage.release();
      stage.store.holding = false;
      let turns = 0;
      const counted = (async () => {
        for (; stage.follower.phase === "loading"; turns++) await turn();
      })();
      await stage.store.scans[0]?.release();
      await counted;
      expect(turns).to.be.at.least(2);
    });

    it("skips entries that are expired by both clocks and the leeway", async () => {
      stage = new FollowerStage();
      const now = stage.clock.now();
      stage.store.skewMs = -10_000;
      const dead = now - LEEWAY - 10_000;
      stage.store.table.set("dead", { ...newEntry("dead", at(dead)), createdAt: null });
      stage.store.table.set("for us alone", { ...newEntry("for us alone", at(dead + 1)), createdAt: null });
      await stage.load();
      expect([stage.known("dead", "for us alone"), stage.follower.entries.size]).to.deep.equal([
        ["for us alone"],
        1,
      ]);
    });
  });

  describe("entries above the maximum of the index", () => {
    const shrink = () => {
      for (const text of [...stage.store.table.keys()].slice(2)) stage.store.table.delete(text);
    };

    it("empty the index: a line is logged, and loading is retried much later", async () => {
      stage = new FollowerStage({ maxEntries: 3, page: 2 });
      stage.store.commit(...newEntries("a", 4));
      await stage.load();
      expect([
        stage.follower.phase,
        stage.follower.isComplete,
        stage.follower.entries.size,
        stage.known("a-0"),
      ]).to.deep.equal(["overflowed", false, 0, []]);
      expect(
        stage.logged(/index is full/).map(({ level, entries, max }) => [level, entries, max]),
      ).to.deep.equal([["error", 4, 3]]);
      shrink();
      stage.clock.advance(INDEX_RETRY_MS - 1);
      await settle();
      expect(stage.store.changes).to.have.length(0);
      stage.clock.advance(1);
      await settle();
      await stage.releaseAll();
      expect([
        stage.follower.phase,
        stage.follower.isComplete,
        stage.known("a-0", "a-1"),
        await stage.prove(),
      ]).to.deep.equal(["following", true, ["a-0", "a-1"], "proven at 1"]);
    });

    it("are refused again while there are too many", async () => {
      stage = new FollowerStage({ maxEntries: 3 });
      stage.store.commit(...newEntries("a", 4));
      await stage.load();
      for (let attempt = 0; attempt < 2; attempt++) {
        stage.clock.advance(INDEX_RETRY_MS);
        await settle();
        await stage.releaseAll();
        expect([stage.follower.phase, stage.follower.entries.size, stage.clock.pendingTimers]).to.deep.equal([
          "overflowed",
          0,
          1,
        ]);
      }
      expect(stage.logged(/index is full/)).to.have.length(3);
    });

    it("are noticed when a change adds them, and exactly the maximum is accepted", async () => {
      stage = new FollowerStage({ maxEntries: 3 });
      stage.store.commit(...newEntries("a", 2));
      await stage.load();
      stage.store.commit(newEntry("third"));
      await stage.prove();
      const full = [stage.follower.phase, stage.follower.entries.size];
      stage.store.commit(newEntry("fourth"));
      await stage.prove();
      expect([
        full,
        [stage.follower.phase, stage.follower.entries.size, stage.follower.staleness],
      ]).to.deep.equal([
        ["following", 3],
        ["overflowed", 0, Number.POSITIVE_INFINITY],
      ]);
      stage.ask("afterwards");
      await settle();
      expect([stage.told.afterwards, stage.store.changes.length]).to.deep.equal(["NOT_FRESH", 2]);
    });

    for (const [what, happens] of Object.entries({
      "is proven": () => {},
      "finds that commits were lost": () => stage.store.restore(0),
      "finds another full page": () => stage.store.commit(...newEntries("b", 3)),
    })) {
      it(`end the wait for the next read, and the index stays empty when that ${what}`, async () => {
        stage = new FollowerStage({ maxEntries: 1, page: 3 });
        await stage.load();
        stage.store.commit(...newEntries("a", 2));
        stage.ask("early");
        await settle();
        stage.ask("late");
        happens();
        await stage.release();
        await stage.releaseAll();
        expect([
          Object.keys(stage.told),
          stage.told.early,
          stage.follower.phase,
          stage.follower.isComplete,
          stage.follower.entries.size,
          stage.follower.staleness,
          stage.clock.pendingTimers,
        ]).to.deep.equal([
          ["late", "early"],
          "proven at 1",
          "overflowed",
          false,
          0,
          Number.POSITIVE_INFINITY,
          1,
        ]);
      });
    }

    it("do not end a rebuild: entries of the lost history stay until both histories are loaded", async () => {
      stage = new FollowerStage({ maxEntries: 3, page: 2 });
      stage.store.commit(...newEntries("lost", 3));
      await stage.load();
      stage.store.restore(0);
      stage.store.commit(...newEntries("new", 3));
      await stage.prove();
      await stage.release();
      await stage.store.scans[0]?.release();
      await stage.store.scans[1]?.release();
      await settle();
      expect([stage.follower.phase, stage.known("lost-0", "lost-1", "lost-2", "new-2")]).to.deep.equal([
        "rebuilding",
        ["lost-0", "lost-1", "lost-2", "new-2"],
      ]);
      await stage.releaseAll();
      // Nor is the index dropped afterwards: no other place has the lost entries.
      expect([stage.follower.phase, stage.follower.entries.size]).to.deep.equal(["following", 6]);
      await stage.prove();
      expect(stage.logged(/is kept/).map(({ level, max }) => [level, max])).to.deep.equal([["warn", 3]]);
    });
  });
});
