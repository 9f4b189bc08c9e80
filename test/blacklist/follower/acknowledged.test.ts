import { expect } from "chai";
import type { Jti } from "../../../src/entry.ts";
import {
  INDEX_RETRY_MS,
  LOAD_RETRY_MS,
  MAX_PENDING_COMMITS,
  OBSERVED_REVISIONS,
} from "../../../src/limits.ts";
import { AWAY, at, FollowerStage, HOUR, positionOf, settle } from "../../support/follower-stage.ts";
import { newEntries, newEntry } from "../../support/new-entry.ts";

const LATER = at(Date.UTC(2033, 0, 1));

describe("Follower", () => {
  let stage: FollowerStage;

  beforeEach(() => {
    stage = new FollowerStage();
  });

  describe("what this replica acknowledges", () => {
    beforeEach(async () => {
      stage.store.commit(newEntry("before"));
      await stage.load();
    });

    it("is in the index before that, without a read", async () => {
      const receipt = await stage.write(newEntry("a"), newEntry("b"));
      const unknown = stage.known("a", "b");
      const done = stage.follower.acknowledged(receipt);
      expect([unknown, done, stage.known("a", "b"), stage.store.changes.length]).to.deep.equal([
        [],
        undefined,
        ["a", "b"],
        0,
      ]);
    });

    it("is in the index as it stands in the database: extended, or as somebody else has left it", async () => {
      const ours = at(Date.UTC(2032, 0, 1));
      stage.store.commit(newEntry("longer", LATER), newEntry("shorter"));
      await stage.acknowledge(await stage.write(newEntry("longer", ours), newEntry("shorter", ours)));
      expect(["longer", "shorter"].map((text) => stage.follower.expiryOf(text as Jti))).to.deep.equal([
        LATER.expiresAt,
        ours.expiresAt,
      ]);
    });

    it("never makes an entry expire earlier than it is known to", async () => {
      const receipt = await stage.write(newEntry("a"));
      stage.store.commit(newEntry("a", LATER));
      await stage.prove();
      // The read has shown more than the receipt, and ends with a later commit.
      await stage.acknowledge(receipt);
      await stage.release();
      expect([stage.told.writer, stage.follower.expiryOf("a" as Jti)]).to.deep.equal([
        "acknowledged",
        LATER.expiresAt,
      ]);
    });

    it("proves nothing, and lets no other commit be passed over", async () => {
      stage.store.commit(newEntry("another replica's"));
      await stage.acknowledge(await stage.write(newEntry("ours")));
      stage.store.commit(newEntry("another one's"));
      const { applied, staleness, lag } = stage.follower;
      expect([applied.number, staleness, lag]).to.deep.equal([1, Number.POSITIVE_INFINITY, 0]);
      stage.ask("somebody");
      await settle();
      expect([stage.told.somebody, positionOf(stage.latest.input)]).to.deep.equal([undefined, [2, ""]]);
      await stage.release();
      expect([stage.told.somebody, stage.known("another replica's", "ours", "another one's")]).to.deep.equal([
        "proven at 4",
        ["another replica's", "ours", "another one's"],
      ]);
    });

    it("is read all the same, page by page, and then counts as applied", async () => {
      stage = new FollowerStage({ page: 2 });
      await stage.load();
      stage.store.commit(...newEntries("theirs", 3));
      const receipt = await stage.write(newEntry("ours"));
      await stage.acknowledge(receipt);
      stage.ask("somebody");
      await settle();
      await stage.release();
      const halfWay = [stage.told.somebody, stage.follower.applied.number];
      await stage.release();
      await stage.release();
      expect([halfWay, stage.told.somebody, stage.known("theirs-0", "theirs-1", "theirs-2")]).to.deep.equal([
        [undefined, 0],
        "proven at 2",
        ["theirs-0", "theirs-1", "theirs-2"],
      ]);
      expect(stage.follower.reflects(receipt.revision)).to.equal(true);
    });

    it("is asked for in the next read, and no more when that has found it", async () => {
      const first = await stage.write(newEntry("a"));
      await stage.acknowledge(first);
      const second = await stage.write(newEntry("b"));
      await stage.acknowledge(second);
      await stage.prove();
      await stage.prove();
      const asked = stage.store.changes.map(({ input }) => input.required);
      expect(asked).to.deep.equal([[first.revision, second.revision], []]);
    });

    it("is asked for in the read after the one that was under way, unless that one ends with it", async () => {
      stage.ask("early");
      await settle();
      const unseen = await stage.write(newEntry("a"));
      await stage.acknowledge(unseen);
      await stage.release();
      const ended = await stage.write(newEntry("b"));
      stage.ask("late");
      await settle();
      await stage.acknowledge(ended);
      await stage.release();
      await stage.prove();
      const asked = stage.store.changes.map(({ input }) => input.required);
      expect(asked).to.deep.equal([[], [unseen.revision], []]);
    });

    it("reaches those who keep copies when it has been read: in order, with its revision", async () => {
      const kept = () =>
        Array.from({ length: stage.changeLog.end - stage.changeLog.first }, (_, index) => {
          const change = stage.changeLog.at(stage.changeLog.first + index);
          return [(change?.until.length ?? 0) / 8, change?.revision?.number];
        });
      const before = kept();
      stage.store.commit(newEntry("theirs"));
      await stage.acknowledge(await stage.write(newEntry("ours")));
      const early = kept();
      await stage.prove();
      expect([early, kept()]).to.deep.equal([before, [...before, [2, 3]]]);
    });

    it("is not held where it has expired, and is given up when it has", async () => {
      const now = stage.clock.now();
      await stage.acknowledge(
        await stage.write(newEntry("past", at(now - HOUR)), newEntry("short", at(now + 1))),
      );
      const held = stage.known("past", "short");
      stage.clock.advance(HOUR);
      await stage.prove();
      stage.clock.advance(HOUR);
      await stage.prove();
      expect([held, stage.known("past", "short")]).to.deep.equal([["short"], []]);
    });

    it("counts for what the index may hold when the next read ends", async () => {
      stage = new FollowerStage({ maxEntries: 2 });
      await stage.load();
      await stage.acknowledge(await stage.write(...newEntries("a", 3)));
      const before = stage.follower.phase;
      await stage.prove();
      expect([stage.told.writer, before, stage.follower.phase]).to.deep.equal([
        "acknowledged",
        "following",
        "overflowed",
      ]);
    });

    it("is looked up, all of it together, where nobody reads and it becomes much", async () => {
      for (let count = 0; count <= MAX_PENDING_COMMITS; count++) {
        await stage.acknowledge(await stage.write(newEntry(`a-${count}`)));
      }
      expect([stage.told.writer, stage.store.lookUps.map(({ length }) => length)]).to.deep.equal([
        "acknowledged",
        [MAX_PENDING_COMMITS + 1],
      ]);
      stage.ask("somebody");
      await settle();
      expect(stage.latest.input).to.deep.include({ required: [stage.store.revision] });
    });
  });

  describe("a commit of this replica's that the database loses before it was read", () => {
    const accidents: Record<string, () => void> = {
      "and stands behind": () => {},
      "and gave its number out again": () => stage.store.commit(newEntry("new")),
      "and has gone further since": () => {
        for (const name of ["new", "newer", "newest"]) stage.store.commit(newEntry(name));
      },
    };

    beforeEach(async () => {
      stage.store.commit(newEntry("before"));
      await stage.load();
      await stage.acknowledge(await stage.write(newEntry("ours")));
    });

    for (const [what, happens] of Object.entries(accidents)) {
      it(`${what}: stays known, is noticed by the next read, and nothing is ruled out until the index is rebuilt`, async () => {
        stage.store.restore(1);
        happens();
        expect(await stage.prove()).to.equal("NOT_FRESH");
        expect([
          stage.follower.phase,
          stage.follower.isComplete,
          stage.known("ours"),
          stage.logged(/lost commits/).map(({ level, revision }) => [level, revision]),
        ]).to.deep.equal(["rebuilding", true, ["ours"], [["error", 2]]]);
        await stage.releaseAll();
        expect([stage.known("ours", ...stage.store.table.keys()), await stage.prove()]).to.deep.equal([
          ["ours", ...stage.store.table.keys()],
          `proven at ${stage.store.revision.number}`,
        ]);
      });
    }

    it("is noticed although this replica has written to the other history since", async () => {
      stage.store.restore(1);
      stage.store.commit(newEntry("new"));
      await stage.acknowledge(await stage.write(newEntry("ours too")));
      expect([await stage.prove(), stage.follower.phase, stage.known("ours", "ours too")]).to.deep.equal([
        "NOT_FRESH",
        "rebuilding",
        ["ours", "ours too"],
      ]);
    });

    it("is noticed by the read after one that was under way when it was acknowledged", async () => {
      await stage.prove();
      stage.ask("early");
      await settle();
      await stage.acknowledge(await stage.write(newEntry("ours too")));
      stage.store.restore(2);
      await stage.release();
      expect([stage.told.early, await stage.prove(), stage.known("ours too")]).to.deep.equal([
        "proven at 2",
        "NOT_FRESH",
        ["ours too"],
      ]);
    });

    it("is noticed where a read has gone past it in the other history meanwhile", async () => {
      await stage.prove();
      const receipt = await stage.write(newEntry("ours too"));
      stage.store.restore(2);
      for (const name of ["new", "newer"]) stage.store.commit(newEntry(name));
      stage.ask("early");
      await settle();
      await stage.acknowledge(receipt);
      await stage.release();
      expect([stage.told.writer, stage.told.early, await stage.prove()]).to.deep.equal([
        "acknowledged",
        "proven at 4",
        "NOT_FRESH",
      ]);
    });

    it("is never dropped, however small the index", async () => {
      stage = new FollowerStage({ maxEntries: 3 });
      await stage.load();
      await stage.acknowledge(await stage.write(...newEntries("ours", 3)));
      stage.store.restore(0);
      stage.store.commit(...newEntries("new", 3));
      await stage.prove();
      await stage.releaseAll();
      await stage.prove();
      expect([stage.follower.phase, stage.follower.size, stage.follower.holdsLost]).to.deep.equal([
        "following",
        6,
        true,
      ]);
    });
  });

  describe("an acknowledgement that comes after the commit was read", () => {
    beforeEach(async () => {
      await stage.load();
    });

    it("is given at once where that read ended with the commit, or an earlier one did", async () => {
      const first = await stage.write(newEntry("a"));
      await stage.prove();
      const begun = stage.store.changes.length;
      await stage.acknowledge(first, "at");
      stage.store.commit(newEntry("b"));
      await stage.prove();
      await stage.acknowledge(first, "behind");
      expect([stage.told.at, stage.told.behind, stage.store.changes.length - begun]).to.deep.equal([
        "acknowledged",
        "acknowledged",
        1,
      ]);
    });

    it("waits for one read that finds it where the stamp is not known", async () => {
      const receipt = await stage.write(newEntry("a"));
      stage.store.commit(newEntry("b"));
      await stage.prove();
      await stage.acknowledge(receipt);
      const before = stage.told.writer;
      expect(stage.latest.input).to.deep.include({ required: [receipt.revision] });
      await stage.release();
      expect([before, stage.told.writer, stage.follower.phase]).to.deep.equal([
        undefined,
        "acknowledged",
        "following",
      ]);
    });

    for (const [what, reads] of Object.entries({
      "the stamp that was read is another": 2,
      "the stamp was not read and the database has another": 1,
    })) {
      it(`is refused where ${what}, and the index is rebuilt`, async () => {
        const receipt = await stage.write(newEntry("a"));
        stage.store.restore(0);
        for (const name of ["new", "newer"]) {
          stage.store.commit(newEntry(name));
          if (reads === 2) await stage.prove();
        }
        if (reads === 1) await stage.prove();
        await stage.acknowledge(receipt);
        await stage.release();
        expect([
          stage.told.writer,
          stage.follower.phase,
          stage.logged(/lost commits/).map(({ level }) => level),
          stage.known("a"),
        ]).to.deep.equal(["STORE_UNAVAILABLE", "rebuilding", ["error"], []]);
        await stage.releaseAll();
        expect(await stage.prove()).to.equal("proven at 2");
      });
    }

    it("is refused where the database cannot be asked, and it is asked for in every read until one answers", async () => {
      const receipt = await stage.write(newEntry("a"));
      stage.store.commit(newEntry("b"));
      await stage.prove();
      await stage.acknowledge(receipt);
      await stage.latest.fail(AWAY);
      await settle();
      stage.clock.advance(1000);
      stage.ask("somebody");
      await settle();
      expect([stage.told.writer, stage.latest.input]).to.deep.include.members(["STORE_UNAVAILABLE"]);
      expect(stage.latest.input).to.deep.include({ required: [receipt.revision] });
      await stage.release();
      expect([stage.told.somebody, stage.follower.phase]).to.deep.equal(["proven at 2", "following"]);
    });

    it("is compared with as many stamps as are kept, and looked for beyond", async () => {
      const first = await stage.write(newEntry("a"));
      await stage.prove();
      stage.store.holding = false;
      for (let count = 0; count < OBSERVED_REVISIONS - 1; count++) {
        stage.store.commit();
        await stage.follower.databaseState();
      }
      const begun = stage.store.changes.length;
      await stage.acknowledge(first);
      const kept = stage.store.changes.length - begun;
      stage.store.commit();
      await stage.follower.databaseState();
      await stage.acknowledge(first);
      expect([kept, stage.store.changes.length - begun, stage.told.writer]).to.deep.equal([
        0,
        2,
        "acknowledged",
      ]);
    }).timeout(20_000);
  });

  describe("what this replica acknowledges while there is no index yet", () => {
    beforeEach(() => {
      stage.store.commit(newEntry("before"));
    });

    it("is in it from the beginning, also what was acknowledged before it began to load", async () => {
      await stage.acknowledge(await stage.write(newEntry("before it began")));
      expect([stage.told.writer, stage.known("before it began"), stage.follower.isComplete]).to.deep.equal([
        "acknowledged",
        ["before it began"],
        false,
      ]);
      await stage.load();
      expect([stage.follower.phase, stage.known("before", "before it began")]).to.deep.equal([
        "following",
        ["before", "before it began"],
      ]);
    });

    for (const step of ["before it began", "before a page", "before it caught up", "at the end"]) {
      it(`is known, and noticed to be lost, where the database goes back: ${step}`, async () => {
        const lose = async (now: string) => {
          if (now !== step) return;
          await stage.acknowledge(await stage.write(newEntry("ours")));
          stage.store.restore(1);
          stage.store.commit(newEntry("new"));
        };
        await lose("before it began");
        stage.follower.start();
        await settle();
        await stage.release();
        await lose("before a page");
        await stage.store.scans[0]?.release();
        await settle();
        await lose("before it caught up");
        await stage.release();
        await lose("at the end");
        // What was read before the loss is still taken over; the next read tells.
        await stage.release();
        for (let attempt = 0; stage.logged(/lost commits/).length === 0 && attempt < 3; attempt++) {
          await stage.prove();
        }
        expect([stage.told.writer, stage.follower.phase, stage.known("ours")]).to.deep.equal([
          "acknowledged",
          "rebuilding",
          ["ours"],
        ]);
        for (let attempt = 0; stage.follower.phase !== "following" && attempt < 3; attempt++) {
          stage.clock.advance(LOAD_RETRY_MS);
          await settle();
          await stage.releaseAll();
        }
        expect([stage.known("ours", "new"), await stage.prove()]).to.deep.equal([
          ["ours", "new"],
          "proven at 2",
        ]);
      });
    }

    it("is asked for where it was acknowledged while the index was too large, and it is not loaded without it", async () => {
      stage = new FollowerStage({ maxEntries: 3 });
      stage.store.commit(...newEntries("a", 4));
      await stage.load();
      await stage.acknowledge(await stage.write(newEntry("ours")));
      expect([stage.told.writer, stage.follower.phase, stage.follower.size]).to.deep.equal([
        "acknowledged",
        "overflowed",
        0,
      ]);
      stage.store.restore(1);
      for (const text of [...stage.store.table.keys()].slice(2)) stage.store.table.delete(text);
      stage.clock.advance(INDEX_RETRY_MS);
      for (let attempt = 0; attempt < 3; attempt++) {
        await settle();
        await stage.releaseAll();
        stage.clock.advance(LOAD_RETRY_MS);
      }
      expect([
        stage.follower.phase,
        stage.follower.isComplete,
        stage.acknowledged.required.map(({ number }) => number),
        stage.logged(/cannot be loaded/).length,
      ]).to.deep.equal(["loading", false, [2], 1]);
    });

    it("is asked for no more when an index that was too large is complete again with it", async () => {
      stage = new FollowerStage({ maxEntries: 3 });
      stage.store.commit(...newEntries("a", 4));
      await stage.load();
      await stage.acknowledge(await stage.write(newEntry("ours")));
      for (const text of ["a-0", "a-1"]) stage.store.table.delete(text);
      stage.clock.advance(INDEX_RETRY_MS);
      await settle();
      await stage.releaseAll();
      expect([stage.follower.phase, stage.known("ours"), await stage.prove()]).to.deep.equal([
        "following",
        ["ours"],
        "proven at 2",
      ]);
      stage.store.restore(1);
      await stage.prove();
      expect([stage.follower.phase, stage.known("ours")]).to.deep.equal(["rebuilding", ["ours"]]);
      // From now on it is held like everything else, also where it is lost while the index is loaded.
      await stage.acknowledge(await stage.write(newEntry("ours too")));
      stage.store.restore(1);
      for (let attempt = 0; stage.follower.phase !== "following" && attempt < 3; attempt++) {
        await stage.releaseAll();
        stage.clock.advance(LOAD_RETRY_MS);
        await settle();
      }
      await stage.releaseAll();
      expect([stage.follower.phase, stage.known("ours", "ours too")]).to.deep.equal([
        "following",
        ["ours", "ours too"],
      ]);
    });
  });
});
