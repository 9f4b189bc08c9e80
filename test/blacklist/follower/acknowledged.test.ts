import { expect } from "chai";
import { MAX_UNCONFIRMED_COMMITS } from "../../../src/blacklist/acknowledged-commits.ts";
import { LOAD_RETRY_MS } from "../../../src/blacklist/follower.ts";
import type { Jti } from "../../../src/entry.ts";
import { INDEX_RETRY_MS, KEPT_STAMPS } from "../../../src/limits.ts";
import { AWAY, at, FollowerStage, HOUR, positionOf, settle } from "../../support/follower-stage.ts";
import { newEntries, newEntry } from "../../support/new-entry.ts";

const LATER = at(Date.UTC(2033, 0, 1));

describe("Follower", () => {
  let stage: FollowerStage;

  beforeEach(() => {
    stage = new FollowerStage();
  });

  describe("a commit of this replica", () => {
    beforeEach(async () => {
      stage.store.commit(newEntry("before"));
      await stage.load();
    });

    it("is in the index before it is acknowledged, without a read", async () => {
      const receipt = await stage.write(newEntry("a"), newEntry("b"));
      const unknown = stage.known("a", "b");
      const done = stage.follower.addOwnCommit(receipt);
      expect([unknown, done, stage.known("a", "b"), stage.store.changes.length]).to.deep.equal([
        [],
        undefined,
        ["a", "b"],
        0,
      ]);
    });

    it("has the expiries of the database in the index: extended, or as another writer has left them", async () => {
      const ours = at(Date.UTC(2032, 0, 1));
      stage.store.commit(newEntry("longer", LATER), newEntry("shorter"));
      await stage.acknowledge(await stage.write(newEntry("longer", ours), newEntry("shorter", ours)));
      expect(["longer", "shorter"].map((text) => stage.follower.entries.expiryOf(text as Jti))).to.deep.equal(
        [LATER.expiresAt, ours.expiresAt],
      );
    });

    it("never shortens an expiry that the index already has", async () => {
      const receipt = await stage.write(newEntry("a"));
      stage.store.commit(newEntry("a", LATER));
      await stage.prove();
      // The read has shown a later expiry than the receipt, and ends with a later commit.
      await stage.acknowledge(receipt);
      await stage.release();
      expect([stage.told.writer, stage.follower.entries.expiryOf("a" as Jti)]).to.deep.equal([
        "acknowledged",
        LATER.expiresAt,
      ]);
    });

    it("proves nothing, and does not make the follower skip another commit", async () => {
      stage.store.commit(newEntry("another replica's"));
      await stage.acknowledge(await stage.write(newEntry("ours")));
      stage.store.commit(newEntry("another one's"));
      const { applied, staleness, lag } = stage.follower;
      expect([applied.number, staleness, lag]).to.deep.equal([1, Number.POSITIVE_INFINITY, 0]);
      stage.ask("reader");
      await settle();
      expect([stage.told.reader, positionOf(stage.latest.input)]).to.deep.equal([undefined, [2, ""]]);
      await stage.release();
      expect([stage.told.reader, stage.known("another replica's", "ours", "another one's")]).to.deep.equal([
        "proven at 4",
        ["another replica's", "ours", "another one's"],
      ]);
    });

    it("is read like other commits, page by page, and then counts as applied", async () => {
      stage = new FollowerStage({ page: 2 });
      await stage.load();
      stage.store.commit(...newEntries("theirs", 3));
      const receipt = await stage.write(newEntry("ours"));
      await stage.acknowledge(receipt);
      stage.ask("reader");
      await settle();
      await stage.release();
      const halfWay = [stage.told.reader, stage.follower.applied.number];
      await stage.release();
      await stage.release();
      expect([halfWay, stage.told.reader, stage.known("theirs-0", "theirs-1", "theirs-2")]).to.deep.equal([
        [undefined, 0],
        "proven at 2",
        ["theirs-0", "theirs-1", "theirs-2"],
      ]);
      expect(stage.follower.reflects(receipt.revision)).to.equal(true);
    });

    it("is looked up by the next read, and no more once that has found it", async () => {
      const first = await stage.write(newEntry("a"));
      await stage.acknowledge(first);
      const second = await stage.write(newEntry("b"));
      await stage.acknowledge(second);
      await stage.prove();
      await stage.prove();
      const asked = stage.store.changes.map(({ input }) => input.required);
      expect(asked).to.deep.equal([[first.revision, second.revision], []]);
    });

    it("is looked up by the read after the one in flight, unless that ends with it", async () => {
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

    it("reaches subscriptions once it has been read: in order, with its revision", async () => {
      const kept = () =>
        Array.from({ length: stage.changeLog.end - stage.changeLog.first }, (_, index) => {
          const change = stage.changeLog.changeNumbered(stage.changeLog.first + index);
          return [(change?.until.length ?? 0) / 8, change?.revision?.number];
        });
      const before = kept();
      stage.store.commit(newEntry("theirs"));
      await stage.acknowledge(await stage.write(newEntry("ours")));
      const early = kept();
      await stage.prove();
      expect([early, kept()]).to.deep.equal([before, [...before, [2, 3]]]);
    });

    it("does not add an expired entry, and its entries are removed once expired", async () => {
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

    it("counts towards the maximum of the index when the next read ends", async () => {
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

    it("is looked up together with the others when there are no reads and many are pending", async () => {
      for (let count = 0; count <= MAX_UNCONFIRMED_COMMITS; count++) {
        await stage.acknowledge(await stage.write(newEntry(`a-${count}`)));
      }
      expect([stage.told.writer, stage.store.lookUps.map(({ length }) => length)]).to.deep.equal([
        "acknowledged",
        [MAX_UNCONFIRMED_COMMITS + 1],
      ]);
      stage.ask("reader");
      await settle();
      expect(stage.latest.input).to.deep.include({ required: [stage.store.revision] });
    });
  });

  describe("a commit of this replica that the database loses before it is read", () => {
    const accidents: Record<string, () => void> = {
      "at an older revision": () => {},
      "at the same number of another history": () => stage.store.commit(newEntry("new")),
      "at a later revision of another history": () => {
        for (const name of ["new", "newer", "newest"]) stage.store.commit(newEntry(name));
      },
    };

    beforeEach(async () => {
      stage.store.commit(newEntry("before"));
      await stage.load();
      await stage.acknowledge(await stage.write(newEntry("ours")));
    });

    for (const [what, happens] of Object.entries(accidents)) {
      it(`${what}: stays in the index, is noticed by the next read, and there are no negatives until the index is rebuilt`, async () => {
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

    it("is noticed although this replica has since written to the other history", async () => {
      stage.store.restore(1);
      stage.store.commit(newEntry("new"));
      await stage.acknowledge(await stage.write(newEntry("ours too")));
      expect([await stage.prove(), stage.follower.phase, stage.known("ours", "ours too")]).to.deep.equal([
        "NOT_FRESH",
        "rebuilding",
        ["ours", "ours too"],
      ]);
    });

    it("is noticed by the read after the one that was in flight at its acknowledgement", async () => {
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

    it("is noticed when a read has passed its number in the other history meanwhile", async () => {
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

    it("is never dropped, for any maximum of the index", async () => {
      stage = new FollowerStage({ maxEntries: 3 });
      await stage.load();
      await stage.acknowledge(await stage.write(...newEntries("ours", 3)));
      stage.store.restore(0);
      stage.store.commit(...newEntries("new", 3));
      await stage.prove();
      await stage.releaseAll();
      await stage.prove();
      expect([
        stage.follower.phase,
        stage.follower.entries.size,
        stage.follower.hasLostEntries,
      ]).to.deep.equal(["following", 6, true]);
    });
  });

  describe("an acknowledgement that comes after the commit was read", () => {
    beforeEach(async () => {
      await stage.load();
    });

    it("is given at once if that read ended with the commit, or an earlier read did", async () => {
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

    it("waits for one read that finds the commit if its stamp is unknown", async () => {
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
      "another stamp was read": 2,
      "no stamp was read and the database has another": 1,
    })) {
      it(`is refused if ${what}, and the index is rebuilt`, async () => {
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

    it("is refused while the database is unavailable, and every read looks up the commit until one succeeds", async () => {
      const receipt = await stage.write(newEntry("a"));
      stage.store.commit(newEntry("b"));
      await stage.prove();
      await stage.acknowledge(receipt);
      await stage.latest.fail(AWAY);
      await settle();
      stage.clock.advance(1000);
      stage.ask("reader");
      await settle();
      expect([stage.told.writer, stage.latest.input]).to.deep.include.members(["STORE_UNAVAILABLE"]);
      expect(stage.latest.input).to.deep.include({ required: [receipt.revision] });
      await stage.release();
      expect([stage.told.reader, stage.follower.phase]).to.deep.equal(["proven at 2", "following"]);
    });

    it("is compared with the stamps that are kept, and looks up older commits", async () => {
      const first = await stage.write(newEntry("a"));
      await stage.prove();
      stage.store.holding = false;
      for (let count = 0; count < KEPT_STAMPS - 1; count++) {
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

  describe("a commit of this replica before the index is loaded", () => {
    beforeEach(() => {
      stage.store.commit(newEntry("before"));
    });

    it("is in the index from the start, even if acknowledged before loading began", async () => {
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
      it(`is in the index, and its loss is noticed, when the database is restored: ${step}`, async () => {
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
        // Rows that were read before the loss are still applied; the next read detects the loss.
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

    it("is looked up if it was acknowledged while the index was too large, and the index is not loaded without it", async () => {
      stage = new FollowerStage({ maxEntries: 3 });
      stage.store.commit(...newEntries("a", 4));
      await stage.load();
      await stage.acknowledge(await stage.write(newEntry("ours")));
      expect([stage.told.writer, stage.follower.phase, stage.follower.entries.size]).to.deep.equal([
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

    it("is no longer looked up once an index that was too large is complete again with it", async () => {
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
      // From now on it is held like any entry, even if it is lost while the index is loaded.
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
