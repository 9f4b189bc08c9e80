import { expect } from "chai";
import { FAILED_READ_PAUSE_MS, READ_TURNS } from "../../../src/blacklist/follower.ts";
import { ANSWERS_PER_TURN_MICROS } from "../../../src/blacklist/time-slicing.ts";
import type { Jti } from "../../../src/entry.ts";
import type { Changes, Store, Tail } from "../../../src/store/store.ts";
import { AWAY, at, FollowerStage, HOUR, positionOf, settle } from "../../support/follower-stage.ts";
import { turn } from "../../support/held-store.ts";
import { newEntries, newEntry } from "../../support/new-entry.ts";
import { reasonOf } from "../../support/rejection.ts";

describe("Follower", () => {
  let stage: FollowerStage;

  beforeEach(() => {
    stage = new FollowerStage();
  });

  describe("a proof", () => {
    beforeEach(() => stage.load());

    it("is one read for all requests of a turn, and none without requests", async () => {
      stage.clock.advance(HOUR);
      await settle();
      expect(stage.store.changes).to.have.length(0);
      stage.ask("a");
      stage.ask("b");
      await settle();
      stage.ask("c");
      await settle();
      expect([stage.store.changes.length, stage.told]).to.deep.equal([1, {}]);
      await stage.release();
      expect([stage.store.changes.length, stage.told]).to.deep.equal([
        2,
        { a: "proven at 0", b: "proven at 0" },
      ]);
      await stage.release();
      stage.clock.advance(HOUR);
      await settle();
      expect([stage.store.changes.length, Object.keys(stage.told)]).to.deep.equal([2, ["a", "b", "c"]]);
    });

    it("is one read for a burst over several turns, and waits for a few turns at most", async () => {
      stage.ask("first");
      for (let asked = 0; stage.store.changes.length === 0 && asked < 100; asked++) {
        stage.ask(`burst ${asked}`);
        await turn();
      }
      await stage.release();
      expect(Object.keys(stage.told)).to.have.length(1 + READ_TURNS);
    });

    it("comes from a read that is sent after the request: later requests wait for the next", async () => {
      stage.ask("early");
      await settle();
      // The read has begun before this commit; the request comes after it.
      stage.store.commit(newEntry("a"));
      stage.ask("late");
      await stage.release();
      expect([stage.told, stage.known("a")]).to.deep.equal([{ early: "proven at 0" }, []]);
      await stage.release();
      expect([stage.told, stage.known("a")]).to.deep.equal([
        { early: "proven at 0", late: "proven at 1" },
        ["a"],
      ]);
    });

    it("does not come from a read that is being sent at the time of the request", async () => {
      stage = new FollowerStage({
        before: (store) =>
          askWhileHandedOver(store, () => {
            store.commit(newEntry("a"));
            stage.ask("reentrant");
          }),
      });
      await stage.load();
      stage.ask("first");
      await settle();
      await stage.release();
      expect([stage.told, stage.known("a")]).to.deep.equal([{ first: "proven at 0" }, []]);
      await stage.release();
      expect([stage.told.reentrant, stage.known("a")]).to.deep.equal(["proven at 1", ["a"]]);
    });

    it("comes after the changes that its read has found", async () => {
      stage.store.commit(newEntry("a"), newEntry("b"));
      const seen: string[][] = [];
      stage.follower.prove({ cost: 1, proven: () => seen.push(stage.known("a", "b")), failed: () => {} });
      await settle();
      await stage.release();
      expect([seen, stage.follower.applied]).to.deep.equal([[["a", "b"]], stage.store.revision]);
    });

    it("has the state of the database", async () => {
      stage.store.commit(newEntry("a"));
      const state = stage.follower.databaseState();
      await settle();
      await stage.release();
      const { revision, clock: databaseClock, writable } = await state;
      expect([revision, databaseClock, writable]).to.deep.equal([
        stage.store.revision,
        stage.store.clock,
        true,
      ]);
    });

    it("fails when the database is unavailable", async () => {
      const reason = reasonOf(stage.follower.databaseState());
      await settle();
      await stage.fail();
      expect(await reason).to.equal("STORE_UNAVAILABLE");
    });
  });

  describe("a read that failed", () => {
    beforeEach(() => stage.load());

    it("gives no proof to any request, and neither does its late answer", async () => {
      stage.store.commit(newEntry("a"));
      stage.clock.advance(100);
      const before = stage.follower.staleness;
      stage.ask("a");
      await settle();
      await stage.fail();
      await stage.release();
      expect([
        stage.told,
        stage.follower.applied.number,
        stage.known("a"),
        stage.follower.staleness,
      ]).to.deep.equal([{ a: "STORE_UNAVAILABLE" }, 0, [], before]);
      stage.clock.advance(FAILED_READ_PAUSE_MS);
      expect([await stage.prove(), stage.known("a")]).to.deep.equal(["proven at 1", ["a"]]);
    });

    it("does not fail the requests that arrived while it was in flight", async () => {
      stage.ask("early");
      await settle();
      stage.ask("late");
      await stage.fail();
      stage.clock.advance(FAILED_READ_PAUSE_MS);
      await settle();
      await stage.release();
      expect(stage.told).to.deep.equal({ early: "STORE_UNAVAILABLE", late: "proven at 0" });
    });

    it("is followed by a pause, for any number of requests, and then by one read", async () => {
      stage.ask("first");
      await settle();
      await stage.fail();
      for (let asked = 0; asked < FAILED_READ_PAUSE_MS; asked++) {
        stage.ask(`${asked}`);
        await settle();
        expect(stage.store.changes).to.have.length(1);
        stage.clock.advance(1);
      }
      await settle();
      expect(stage.store.changes).to.have.length(2);
      await stage.release();
      expect(Object.values(stage.told).filter((answer) => answer === "proven at 0")).to.have.length(
        FAILED_READ_PAUSE_MS,
      );
    });

    it("between two pages keeps the rows of the first page, and the next read continues after it", async () => {
      stage = new FollowerStage({ page: 2 });
      await stage.load();
      stage.store.commit(newEntry("a"), newEntry("b"), newEntry("c"));
      stage.ask("first");
      await settle();
      await stage.release();
      await stage.fail();
      expect([stage.told, stage.follower.applied.number]).to.deep.equal([{ first: "STORE_UNAVAILABLE" }, 0]);
      stage.clock.advance(FAILED_READ_PAUSE_MS);
      expect([await stage.prove(), stage.known("a", "b", "c")]).to.deep.equal([
        "proven at 1",
        ["a", "b", "c"],
      ]);
    });
  });

  describe("changes in pages", () => {
    beforeEach(async () => {
      stage = new FollowerStage({ page: 2 });
      await stage.load();
    });

    it("prove nothing while a page is full: no request is answered, and no revision counts as applied", async () => {
      stage.store.commit(...newEntries("a", 3));
      stage.clock.advance(100);
      const before = [stage.follower.applied, stage.follower.staleness];
      stage.ask("early");
      await settle();
      await stage.release();
      expect([
        stage.told,
        stage.follower.applied,
        stage.follower.staleness,
        stage.follower.reflects(stage.store.revision),
      ]).to.deep.equal([{}, ...before, false]);
      await stage.release();
      expect([
        stage.told,
        stage.follower.applied,
        stage.follower.staleness,
        stage.follower.reflects(stage.store.revision),
      ]).to.deep.equal([{ early: "proven at 1" }, stage.store.revision, 0, true]);
    });

    it("prove nothing when the last page is exactly full", async () => {
      stage.store.commit(...newEntries("a", 2));
      stage.ask("early");
      await settle();
      await stage.release();
      expect([stage.told, stage.store.changes.length]).to.deep.equal([{}, 2]);
      await stage.release();
      expect(stage.told).to.deep.equal({ early: "proven at 1" });
    });

    it("prove, by the last page, the requests that came before it was sent", async () => {
      stage.store.commit(...newEntries("a", 3));
      stage.ask("first");
      await settle();
      stage.ask("before the second page");
      await stage.release();
      stage.ask("while the second page is read");
      await stage.release();
      expect(stage.told).to.deep.equal({ first: "proven at 1", "before the second page": "proven at 1" });
    });

    it("lose no row of a commit that a page boundary cuts, nor of later commits", async () => {
      const names = Array.from({ length: 9 }, (_, index) => `t${index}`);
      stage.store.commit(...names.slice(0, 5).map((name) => newEntry(name)));
      stage.store.commit(...names.slice(5, 6).map((name) => newEntry(name)));
      stage.store.commit(...names.slice(6).map((name) => newEntry(name)));
      stage.ask("a");
      await settle();
      await stage.releaseAll();
      expect([stage.known(...names), stage.told]).to.deep.equal([names, { a: "proven at 3" }]);
      expect(stage.store.changes.map(({ input }) => positionOf(input))).to.deep.equal([
        [1, ""],
        [1, "t1"],
        [1, "t3"],
        [2, "t5"],
        [3, "t7"],
      ]);
    });

    it("return a row again whose revision changed while they were read", async () => {
      const later = at(Date.UTC(2032, 0, 1));
      stage.store.commit(newEntry("a"), newEntry("b"), newEntry("c"));
      stage.ask("reader");
      await settle();
      // One row has been read, one not yet: both leave the commit that is being read.
      stage.store.commit(newEntry("a", later), newEntry("c", later));
      await stage.releaseAll();
      expect([
        ["a", "b", "c"].map((text) => stage.follower.entries.expiryOf(text as Jti)),
        stage.told,
        stage.follower.applied.number,
      ]).to.deep.equal([
        [later.expiresAt, newEntry("b").expiresAt, later.expiresAt],
        { reader: "proven at 2" },
        2,
      ]);
    });

    it("are not one snapshot: a commit between two pages is included when the last has been read", async () => {
      stage.store.commit(...newEntries("a", 3));
      stage.ask("first");
      await settle();
      await stage.release();
      stage.store.commit(newEntry("z"));
      stage.ask("second");
      await stage.releaseAll();
      expect([stage.told, stage.known("z"), stage.follower.applied.number]).to.deep.equal([
        { first: "proven at 1", second: "proven at 2" },
        ["z"],
        2,
      ]);
    });
  });

  describe("many expensive answers", () => {
    const ends: Record<string, () => Promise<void>> = {
      "a proof": () => stage.latest.release(),
      "a failure": () => stage.latest.fail(AWAY),
      "a changed history": () => {
        stage.store.restore(0);
        return stage.latest.release();
      },
    };
    for (const [what, end] of Object.entries(ends)) {
      it(`are sliced into turns: ${what}`, async () => {
        stage.store.commit(newEntry("a"));
        await stage.load();
        if (what === "a changed history") stage.store.restore(0);
        const order: string[] = [];
        const answered = () => {
          order.push("answer");
          setImmediate(() => order.push("another's turn"));
        };
        for (let count = 0; count < 3; count++)
          stage.follower.prove({ cost: ANSWERS_PER_TURN_MICROS, proven: answered, failed: answered });
        await settle();
        await end();
        await settle();
        expect(order).to.deep.equal(Array(3).fill(["answer", "another's turn"]).flat());
      });
    }
  });

  describe("a read-only database", () => {
    it("gives no proof, its positives are valid, and it gives proof again once writable", async () => {
      await stage.load();
      await stage.prove();
      const proven = stage.follower.applied;
      stage.clock.advance(500);
      stage.store.commit(newEntry("a"));
      stage.store.writable = false;
      expect([
        await stage.prove("reader"),
        stage.known("a"),
        stage.follower.applied,
        stage.follower.staleness,
      ]).to.deep.equal(["NOT_FRESH", ["a"], proven, 500]);
      stage.store.writable = true;
      expect([await stage.prove("later"), stage.follower.applied, stage.follower.staleness]).to.deep.equal([
        "proven at 1",
        stage.store.revision,
        0,
      ]);
    });

    it("is polled by one read at a time, too, and its lost commits are noticed", async () => {
      stage.store.commit(newEntry("a"));
      await stage.load();
      stage.store.restore(0);
      stage.store.writable = false;
      expect([await stage.prove(), stage.follower.phase, stage.known("a")]).to.deep.equal([
        "NOT_FRESH",
        "rebuilding",
        ["a"],
      ]);
    });
  });

  describe("staleness", () => {
    beforeEach(() => stage.load());

    it("is counted from the time when the read was sent, not from its answer", async () => {
      stage.ask("a");
      await settle();
      stage.clock.advance(70);
      await stage.release();
      expect(stage.follower.staleness).to.equal(70);
      stage.clock.advance(30);
      expect(stage.follower.staleness).to.equal(100);
    });

    it("is the larger one by the two clocks", async () => {
      await stage.prove();
      const provenAt = stage.clock.now();
      stage.clock.advance(100);
      stage.clock.jumpTo(provenAt - HOUR);
      const setBack = stage.follower.staleness;
      stage.clock.jumpTo(provenAt + HOUR);
      expect([setBack, stage.follower.staleness]).to.deep.equal([100, HOUR]);
    });

    it("continues to grow while reads fail", async () => {
      await stage.prove();
      stage.clock.advance(1000);
      stage.ask("a");
      await settle();
      await stage.fail();
      expect(stage.follower.staleness).to.equal(1000);
    });
  });
});

/** Runs `act` while the follower sends the first read for a request, after those of loading. */
function askWhileHandedOver(store: Store, act: () => void): void {
  const openTail = store.openTail.bind(store);
  store.openTail = (): Tail => {
    const tail = openTail();
    let calls = 0;
    return {
      ...tail,
      changes(from, seen): Promise<Changes> {
        const changes = tail.changes(from, seen);
        // Loading has sent three.
        if (++calls === 4) act();
        return changes;
      },
    };
  };
}
