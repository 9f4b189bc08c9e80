import { expect } from "chai";
import { ChangeLog } from "../../src/blacklist/change-log.ts";
import { Follower } from "../../src/blacklist/follower.ts";
import { inTurns } from "../../src/blacklist/in-turns.ts";
import { BothClocks } from "../../src/both-clocks.ts";
import type { EpochMs, Jti } from "../../src/entry.ts";
import { type ServiceError, storeUnavailable } from "../../src/errors.ts";
import {
  ANSWERS_A_TURN_MICROS,
  FAILED_READ_PAUSE_MS,
  INDEX_RETRY_MS,
  LOAD_RETRY_MS,
  OBSERVED_REVISIONS,
  READ_TURNS,
  SWEEP_INDEX_MS,
} from "../../src/limits.ts";
import type { Changes, Standing, Store, Tail } from "../../src/store/store.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { type Held, HeldStore, turn } from "../support/held-store.ts";
import { type LogRecord, memoryLog } from "../support/memory-log.ts";
import { newEntries, newEntry } from "../support/new-entry.ts";
import { reasonOf } from "../support/rejection.ts";

const LEEWAY = 60_000;
const HOUR = 3_600_000;
const AWAY = storeUnavailable("away");

describe("Follower", () => {
  let clock: FakeClock;
  let store: HeldStore;
  let follower: Follower;
  let changeLog: ChangeLog;
  let records: () => LogRecord[];
  /** How those who asked were answered so far, by the names they gave. */
  let told: Record<string, string>;

  beforeEach(() => use());

  function use({ maxEntries = 1_000_000, page }: { maxEntries?: number; page?: number } = {}): void {
    clock = new FakeClock();
    store = new HeldStore({ clock });
    if (page !== undefined) store.page = page;
    const logged = memoryLog();
    records = logged.records;
    told = {};
    const clocks = new BothClocks(clock);
    changeLog = new ChangeLog();
    follower = new Follower({
      store,
      clock,
      clocks,
      log: logged.log,
      changeLog,
      leewayMs: LEEWAY,
      maxEntries,
    });
  }

  /** Loads the index, and forgets the reads that it took. */
  async function load(): Promise<void> {
    store.holding = false;
    follower.start();
    while (follower.phase === "loading") await turn();
    store.holding = true;
    store.changes.splice(0);
    store.scans.splice(0);
  }

  function ask(name: string, cost = 1): void {
    follower.prove({
      cost,
      proven: ({ revision }: Standing) => {
        told[name] = `proven at ${revision.number}`;
      },
      failed: (error) => {
        told[name] = (error as ServiceError).reason;
      },
    });
  }

  const latest = () => store.changes.at(-1) as Held<unknown>;

  async function release(): Promise<void> {
    await latest().release();
    await settle();
  }

  async function fail(): Promise<void> {
    await latest().fail(AWAY);
    await settle();
  }

  /** Lets every read end, also those that follow from it. */
  async function releaseAll(): Promise<void> {
    const begun = () => [...store.scans, ...store.changes];
    for (let before = -1; before !== begun().length; ) {
      before = begun().length;
      for (const held of begun()) await held.release();
      await settle();
    }
  }

  /** One question, asked and answered. */
  async function prove(name = "somebody"): Promise<string | undefined> {
    ask(name);
    await settle();
    await release();
    return told[name];
  }

  /** Of `texts`, those that the index holds. */
  const known = (...texts: string[]) => texts.filter((text) => follower.expiryOf(text as Jti) !== 0);
  const at = (ms: number) => ({ expiresAt: ms as EpochMs });
  const logged = (message: RegExp) => records().filter(({ msg }) => message.test(String(msg)));

  describe("a proof", () => {
    beforeEach(load);

    it("is one read for all who ask in the same turn, and none when nobody asks", async () => {
      clock.advance(HOUR);
      await settle();
      expect(store.changes).to.have.length(0);
      ask("a");
      ask("b");
      await settle();
      ask("c");
      await settle();
      expect([store.changes.length, told]).to.deep.equal([1, {}]);
      await release();
      expect([store.changes.length, told]).to.deep.equal([2, { a: "proven at 0", b: "proven at 0" }]);
      await release();
      clock.advance(HOUR);
      await settle();
      expect([store.changes.length, Object.keys(told)]).to.deep.equal([2, ["a", "b", "c"]]);
    });

    it("is one read for a burst that arrives over several turns, but never waits for more than a few", async () => {
      ask("first");
      for (let asked = 0; store.changes.length === 0 && asked < 100; asked++) {
        ask(`burst ${asked}`);
        await turn();
      }
      await release();
      expect(Object.keys(told)).to.have.length(1 + READ_TURNS);
    });

    it("comes from a read that is sent after it was asked for: who comes meanwhile waits for the next", async () => {
      ask("early");
      await settle();
      // The read has begun before this commit; the question comes after it.
      store.commit(newEntry("a"));
      ask("late");
      await release();
      expect([told, known("a")]).to.deep.equal([{ early: "proven at 0" }, []]);
      await release();
      expect([told, known("a")]).to.deep.equal([{ early: "proven at 0", late: "proven at 1" }, ["a"]]);
    });

    it("is not given by the read that is being handed to the database while it is asked for", async () => {
      use();
      askWhileHandedOver(store, () => {
        store.commit(newEntry("a"));
        ask("reentrant");
      });
      follower = new Follower({
        ...{ store, clock, clocks: new BothClocks(clock), log: memoryLog().log, changeLog: new ChangeLog() },
        ...{ leewayMs: LEEWAY, maxEntries: 1000 },
      });
      await load();
      ask("first");
      await settle();
      await release();
      expect([told, known("a")]).to.deep.equal([{ first: "proven at 0" }, []]);
      await release();
      expect([told.reentrant, known("a")]).to.deep.equal(["proven at 1", ["a"]]);
    });

    it("takes over what changed before it is given", async () => {
      store.commit(newEntry("a"), newEntry("b"));
      const seen: string[][] = [];
      follower.prove({ cost: 1, proven: () => seen.push(known("a", "b")), failed: () => {} });
      await settle();
      await release();
      expect([seen, follower.applied]).to.deep.equal([[["a", "b"]], store.revision]);
    });

    it("tells how the database stands", async () => {
      store.commit(newEntry("a"));
      const standing = follower.standing();
      await settle();
      await release();
      const { revision, clock: databaseClock, writable } = await standing;
      expect([revision, databaseClock, writable]).to.deep.equal([store.revision, store.clock, true]);
    });

    it("rejects that question when the database is away", async () => {
      const reason = reasonOf(follower.standing());
      await settle();
      await fail();
      expect(await reason).to.equal("STORE_UNAVAILABLE");
    });
  });

  describe("a read that failed", () => {
    beforeEach(load);

    it("satisfies nobody, nor does its late answer", async () => {
      store.commit(newEntry("a"));
      clock.advance(100);
      const before = follower.staleness;
      ask("a");
      await settle();
      await fail();
      await release();
      expect([told, follower.applied.number, known("a"), follower.staleness]).to.deep.equal([
        { a: "STORE_UNAVAILABLE" },
        0,
        [],
        before,
      ]);
      clock.advance(FAILED_READ_PAUSE_MS);
      expect([await prove(), known("a")]).to.deep.equal(["proven at 1", ["a"]]);
    });

    it("does not fail those who came while it was under way", async () => {
      ask("early");
      await settle();
      ask("late");
      await fail();
      clock.advance(FAILED_READ_PAUSE_MS);
      await settle();
      await release();
      expect(told).to.deep.equal({ early: "STORE_UNAVAILABLE", late: "proven at 0" });
    });

    it("is followed by a pause, however many ask, and by one read then", async () => {
      ask("first");
      await settle();
      await fail();
      for (let asked = 0; asked < FAILED_READ_PAUSE_MS; asked++) {
        ask(`${asked}`);
        await settle();
        expect(store.changes).to.have.length(1);
        clock.advance(1);
      }
      await settle();
      expect(store.changes).to.have.length(2);
      await release();
      expect(Object.values(told).filter((answer) => answer === "proven at 0")).to.have.length(
        FAILED_READ_PAUSE_MS,
      );
    });

    it("between two pages keeps what the first page brought, and goes on after it", async () => {
      use({ page: 2 });
      await load();
      store.commit(newEntry("a"), newEntry("b"), newEntry("c"));
      ask("first");
      await settle();
      await release();
      await fail();
      expect([told, follower.applied.number]).to.deep.equal([{ first: "STORE_UNAVAILABLE" }, 0]);
      clock.advance(FAILED_READ_PAUSE_MS);
      expect([await prove(), known("a", "b", "c")]).to.deep.equal(["proven at 1", ["a", "b", "c"]]);
    });
  });

  describe("changes in pages", () => {
    beforeEach(async () => {
      use({ page: 2 });
      await load();
    });

    it("prove nothing while a page is full: nobody is answered, and nothing counts as applied", async () => {
      store.commit(...newEntries("a", 3));
      clock.advance(100);
      const before = [follower.applied, follower.staleness];
      ask("early");
      await settle();
      await release();
      expect([told, follower.applied, follower.staleness, follower.reflects(store.revision)]).to.deep.equal([
        {},
        ...before,
        false,
      ]);
      await release();
      expect([told, follower.applied, follower.staleness, follower.reflects(store.revision)]).to.deep.equal([
        { early: "proven at 1" },
        store.revision,
        0,
        true,
      ]);
    });

    it("prove nothing when the last one is exactly full", async () => {
      store.commit(...newEntries("a", 2));
      ask("early");
      await settle();
      await release();
      expect([told, store.changes.length]).to.deep.equal([{}, 2]);
      await release();
      expect(told).to.deep.equal({ early: "proven at 1" });
    });

    it("answer from the last one who asked before that was sent", async () => {
      store.commit(...newEntries("a", 3));
      ask("first");
      await settle();
      ask("before the second page");
      await release();
      ask("while the second page is read");
      await release();
      expect(told).to.deep.equal({ first: "proven at 1", "before the second page": "proven at 1" });
    });

    it("lose no row of a commit that they cut, nor of the commits after it", async () => {
      const names = Array.from({ length: 9 }, (_, index) => `t${index}`);
      store.commit(...names.slice(0, 5).map((name) => newEntry(name)));
      store.commit(...names.slice(5, 6).map((name) => newEntry(name)));
      store.commit(...names.slice(6).map((name) => newEntry(name)));
      ask("a");
      await settle();
      await releaseAll();
      expect([known(...names), told]).to.deep.equal([names, { a: "proven at 3" }]);
      expect(store.changes.map(({ input }) => positionOf(input))).to.deep.equal([
        [1, ""],
        [1, "t1"],
        [1, "t3"],
        [2, "t5"],
        [3, "t7"],
      ]);
    });

    it("bring a row again that was stamped anew while they were read", async () => {
      const later = at(Date.UTC(2032, 0, 1));
      store.commit(newEntry("a"), newEntry("b"), newEntry("c"));
      ask("somebody");
      await settle();
      // Already read, and still to be read: both leave the commit that is being read.
      store.commit(newEntry("a", later), newEntry("c", later));
      await releaseAll();
      expect([
        ["a", "b", "c"].map((text) => follower.expiryOf(text as Jti)),
        told,
        follower.applied.number,
      ]).to.deep.equal([
        [later.expiresAt, newEntry("b").expiresAt, later.expiresAt],
        { somebody: "proven at 2" },
        2,
      ]);
    });

    it("do not count as of one moment: what was committed between two pages is there when the last is", async () => {
      store.commit(...newEntries("a", 3));
      ask("first");
      await settle();
      await release();
      store.commit(newEntry("z"));
      ask("second");
      await releaseAll();
      expect([told, known("z"), follower.applied.number]).to.deep.equal([
        { first: "proven at 1", second: "proven at 2" },
        ["z"],
        2,
      ]);
    });
  });

  describe("the log of changes, for those who keep copies", () => {
    /** How many entries each change holds that is kept, and what it completes. */
    const kept = () =>
      Array.from({ length: changeLog.end - changeLog.first }, (_, index) => {
        const change = changeLog.at(changeLog.first + index);
        return [(change?.until.length ?? 0) / 8, change?.revision?.number];
      });
    const goesBackTo = (...numbers: number[]) =>
      numbers.filter((number) => changeLog.after(number) !== undefined);

    it("begins with what changed before the index was there: copies outlive a replica that is restarted", async () => {
      for (let count = 0; count < 20; count++) store.commit(newEntry(`before-${count}`));
      const closed = changeLog.isOpen;
      await load();
      store.commit(newEntry("after"));
      await prove();
      expect([closed, changeLog.isOpen, kept(), goesBackTo(0, 1, 20, 21)]).to.deep.equal([
        false,
        true,
        [
          [20, 20],
          [1, 21],
        ],
        [0, 1, 20, 21],
      ]);
    });

    it("goes back less far where that would be much to read, and then over fewer commits", async () => {
      use({ page: 200 });
      for (let count = 0; count < 500; count++) store.commit(newEntry(`before-${count}`));
      await load();
      expect([kept(), goesBackTo(0, 399, 400, 500)]).to.deep.equal([[[100, 500]], [400, 500]]);
      use({ page: 5 });
      for (let count = 0; count < 500; count++) store.commit(newEntry(`before-${count}`));
      await load();
      expect([kept(), goesBackTo(0, 499, 500)]).to.deep.equal([[], [500]]);
    });

    it("misses nothing that is committed while it is begun", async () => {
      store.commit(newEntry("a"));
      follower.start();
      for (let step = 0; follower.phase === "loading"; step++) {
        store.commit(newEntry(`meanwhile-${step}`));
        for (const held of [...store.scans, ...store.changes]) await held.release();
        await settle();
      }
      store.commit(newEntry("last"));
      const read = prove();
      await read;
      const entries = kept().reduce((sum, [count]) => sum + (count ?? 0), 0);
      expect([entries, goesBackTo(0)]).to.deep.equal([store.table.size, [0]]);
    });

    it("holds nothing from before a loss, nor of before its end: who lacks anything starts over", async () => {
      for (let count = 0; count < 5; count++) store.commit(newEntry(`before-${count}`));
      await load();
      const { epoch } = changeLog;
      store.restore(3);
      store.commit(newEntry("other"));
      ask("somebody");
      await settle();
      await release();
      const closed = changeLog.isOpen;
      await releaseAll();
      expect([
        closed,
        changeLog.isOpen,
        changeLog.epoch !== epoch,
        kept(),
        goesBackTo(0, 3, 4),
      ]).to.deep.equal([false, true, true, [], [4]]);
    });

    it("is closed when the index is too large, and when the replica stops", async () => {
      use({ maxEntries: 2 });
      await load();
      store.commit(...newEntries("a", 3));
      await prove();
      const full = changeLog.isOpen;
      use();
      await load();
      follower.stop();
      expect([full, changeLog.isOpen]).to.deep.equal([false, false]);
    });

    it("has a change before anybody is told that it was proven", async () => {
      await load();
      store.commit(newEntry("a"));
      let seen: number | undefined;
      follower.prove({
        cost: 1,
        proven: () => (seen = changeLog.at(changeLog.end - 1)?.revision?.number),
        failed: () => {},
      });
      await settle();
      await release();
      expect(seen).to.equal(1);
    });
  });

  it("follows an extension, and keeps the later expiry", async () => {
    const [sooner, later] = [at(Date.UTC(2030, 6, 1)), at(Date.UTC(2031, 6, 1))];
    store.commit(newEntry("a", sooner));
    await load();
    store.commit(newEntry("a", later));
    await prove();
    expect(follower.expiryOf("a" as Jti)).to.equal(later.expiresAt);
    // A database that was restored has the shorter one again.
    store.restore(0);
    store.commit(newEntry("a", sooner));
    await prove();
    await releaseAll();
    expect([follower.phase, follower.expiryOf("a" as Jti)]).to.deep.equal(["following", later.expiresAt]);
  });

  describe("loading", () => {
    const NAMES = ["a", "b", "c", "d", "e"];

    beforeEach(() => {
      use({ page: 2 });
      store.commit(...NAMES.map((name) => newEntry(name)));
    });

    it("reads every page, and is complete only when it has what changed meanwhile", async () => {
      follower.start();
      await settle();
      await release();
      // Read already, still to be read, and in what is being read.
      store.commit(newEntry("a", at(Date.UTC(2033, 0, 1))), newEntry("aa"), newEntry("z"));
      const phases: string[] = [];
      for (let scan = 0; scan < 3; scan++) {
        phases.push(`${follower.phase} ${follower.isComplete}`);
        await store.scans[scan]?.release();
        await settle();
      }
      phases.push(`${follower.phase} ${follower.isComplete}`);
      store.commit(newEntry("zz"));
      await releaseAll();
      expect([phases, follower.phase, follower.isComplete]).to.deep.equal([
        Array(4).fill("loading false"),
        "following",
        true,
      ]);
      expect([known(...NAMES, "aa", "z", "zz"), follower.expiryOf("a" as Jti)]).to.deep.equal([
        [...NAMES, "aa", "z", "zz"],
        Date.UTC(2033, 0, 1),
      ]);
      expect(logged(/index loaded/).map(({ entries }) => entries)).to.deep.equal([8]);
    });

    it("follows from the revision that was read before the first page", async () => {
      follower.start();
      await settle();
      await release();
      store.commit(newEntry("f"));
      await releaseAll();
      // The first was to see which revision is current, the last one is for the log of changes.
      expect([positionOf(store.changes[1]?.input), follower.applied]).to.deep.equal([
        [2, ""],
        store.revision,
      ]);
    });

    it("vouches for nothing before, and is as stale as can be afterwards, until it is proven", async () => {
      ask("too early");
      expect(told).to.deep.equal({ "too early": "NOT_FRESH" });
      await load();
      expect([follower.staleness, await prove(), follower.staleness]).to.deep.equal([
        Number.POSITIVE_INFINITY,
        "proven at 1",
        0,
      ]);
    });

    for (const step of ["opening", "the first read", "a page", "another page", "what changed meanwhile"]) {
      it(`is tried again after a pause when ${step} fails, and says so once`, async () => {
        for (let attempt = 0; attempt < 2; attempt++) {
          store.changes.splice(0);
          store.scans.splice(0);
          if (step === "opening") store.openFailure = AWAY;
          if (attempt === 0) follower.start();
          else clock.advance(LOAD_RETRY_MS);
          await settle();
          if (step === "the first read") await fail();
          else if (step !== "opening") await release();
          for (const [scan, name] of ["a page", "another page", "the last"].entries()) {
            await (name === step ? store.scans[scan]?.fail(AWAY) : store.scans[scan]?.release());
            await settle();
          }
          if (step === "what changed meanwhile") await fail();
          expect([follower.phase, clock.pendingTimers]).to.deep.equal(["loading", 1]);
        }
        store.openFailure = undefined;
        clock.advance(LOAD_RETRY_MS - 1);
        await settle();
        const tooEarly = store.changes.length;
        clock.advance(1);
        await settle();
        expect(store.changes.length - tooEarly).to.equal(1);
        await releaseAll();
        expect([follower.phase, known(...NAMES), clock.pendingTimers]).to.deep.equal(["following", NAMES, 0]);
        expect(logged(/cannot be loaded/)).to.have.length(1);
      });
    }

    it("gives others a turn after every page", async () => {
      follower.start();
      await settle();
      await release();
      store.holding = false;
      let turns = 0;
      const counted = (async () => {
        for (; follower.phase === "loading"; turns++) await turn();
      })();
      await store.scans[0]?.release();
      await counted;
      expect(turns).to.be.at.least(2);
    });

    it("does not hold what has expired by both clocks and the leeway", async () => {
      use();
      const now = clock.now();
      store.skewMs = -10_000;
      const dead = now - LEEWAY - 10_000;
      store.table.set("dead", { ...newEntry("dead", at(dead)), createdAt: null });
      store.table.set("for us alone", { ...newEntry("for us alone", at(dead + 1)), createdAt: null });
      await load();
      expect([known("dead", "for us alone"), follower.size]).to.deep.equal([["for us alone"], 1]);
    });
  });

  describe("a database that has lost commits", () => {
    const accidents: Record<string, { happens: () => void; new: string[] }> = {
      "and stands behind": { happens: () => store.restore(1), new: [] },
      "and gave the last number out again": {
        happens: () => {
          store.restore(1);
          store.commit(newEntry("new"));
        },
        new: ["new"],
      },
      "and has gone further since": {
        happens: () => {
          store.restore(1);
          for (const name of ["new", "newer", "newest"]) store.commit(newEntry(name));
        },
        new: ["new", "newer", "newest"],
      },
    };

    beforeEach(() => {
      store.commit(newEntry("kept"));
      store.commit(newEntry("lost"));
    });

    for (const [what, { happens, new: fresh }] of Object.entries(accidents)) {
      it(`${what}: rules nothing out, forgets nothing, and is the union of both afterwards`, async () => {
        await load();
        await prove();
        const lost = store.revision;
        expect(follower.reflects(lost)).to.equal(true);
        happens();
        ask("early");
        await settle();
        ask("late");
        await release();
        ask("later");
        await settle();
        expect(told).to.include({ early: "NOT_FRESH", late: "NOT_FRESH", later: "NOT_FRESH" });
        expect([
          follower.phase,
          follower.isComplete,
          follower.staleness,
          follower.reflects(lost),
          known("kept", "lost"),
          logged(/lost commits/).map(({ level, revision }) => [level, revision]),
        ]).to.deep.equal([
          "rebuilding",
          true,
          Number.POSITIVE_INFINITY,
          false,
          ["kept", "lost"],
          [["error", 2]],
        ]);
        await releaseAll();
        expect([
          follower.phase,
          follower.staleness,
          follower.reflects(lost),
          known("kept", "lost", ...fresh),
        ]).to.deep.equal(["following", Number.POSITIVE_INFINITY, false, ["kept", "lost", ...fresh]]);
        expect(await prove()).to.equal(`proven at ${store.revision.number}`);
      });

      it(`${what} while the index was loaded: rules nothing out before it has both`, async () => {
        follower.start();
        await settle();
        await release();
        happens();
        await store.scans[0]?.release();
        await settle();
        await release();
        ask("somebody");
        expect([told, follower.phase, known("kept", "lost"), clock.pendingTimers]).to.deep.equal([
          { somebody: "NOT_FRESH" },
          "rebuilding",
          ["kept", "lost"],
          1,
        ]);
        clock.advance(LOAD_RETRY_MS);
        await settle();
        await releaseAll();
        expect([follower.phase, known("kept", "lost", ...fresh), await prove()]).to.deep.equal([
          "following",
          ["kept", "lost", ...fresh],
          `proven at ${store.revision.number}`,
        ]);
      });
    }

    it("is read anew with what is committed meanwhile", async () => {
      await load();
      store.restore(1);
      await prove();
      await release();
      store.commit(newEntry("a"));
      await releaseAll();
      expect([follower.phase, known("a"), follower.applied]).to.deep.equal([
        "following",
        ["a"],
        store.revision,
      ]);
    });

    it("is read anew however often that fails, and rules nothing out until then", async () => {
      await load();
      store.restore(1);
      await prove();
      for (let attempt = 0; attempt < 3; attempt++) {
        await fail();
        expect([follower.phase, known("lost")]).to.deep.equal(["rebuilding", ["lost"]]);
        clock.advance(LOAD_RETRY_MS);
        await settle();
      }
      await releaseAll();
      expect([follower.phase, known("lost"), await prove()]).to.deep.equal([
        "following",
        ["lost"],
        "proven at 1",
      ]);
    });

    it("and loses them again while it is read anew: the union of all three", async () => {
      await load();
      store.restore(1);
      store.commit(newEntry("second"));
      await prove();
      await release();
      store.scans.splice(0, store.scans.length - 1);
      await store.scans[0]?.release();
      // The second history is lost as well before the load has caught up with it.
      store.restore(1);
      store.commit(newEntry("third"));
      await release();
      await prove();
      for (let attempt = 0; follower.phase !== "following" && attempt < 5; attempt++) {
        clock.advance(LOAD_RETRY_MS);
        await settle();
        await releaseAll();
      }
      await prove("at last");
      expect([told["at last"], known("kept", "lost", "second", "third")]).to.deep.equal([
        "proven at 2",
        ["kept", "lost", "second", "third"],
      ]);
    });

    it("between two pages: the first page is of the lost history, and nobody is answered by the second", async () => {
      use({ page: 2 });
      await load();
      store.commit(...newEntries("a", 3));
      ask("somebody");
      await settle();
      store.restore(0);
      store.commit(...newEntries("b", 3));
      await release();
      await release();
      expect([told, follower.phase]).to.deep.equal([{ somebody: "NOT_FRESH" }, "rebuilding"]);
      await releaseAll();
      expect([known("a-0", "a-1", "b-0", "b-1", "b-2"), await prove()]).to.deep.equal([
        ["a-0", "a-1", "b-0", "b-1", "b-2"],
        "proven at 1",
      ]);
    });
  });

  describe("a read-only database", () => {
    it("proves nothing, is believed about what it has, and proves again once that is over", async () => {
      await load();
      await prove();
      const proven = follower.applied;
      clock.advance(500);
      store.commit(newEntry("a"));
      store.writable = false;
      expect([await prove("somebody"), known("a"), follower.applied, follower.staleness]).to.deep.equal([
        "NOT_FRESH",
        ["a"],
        proven,
        500,
      ]);
      store.writable = true;
      expect([await prove("later"), follower.applied, follower.staleness]).to.deep.equal([
        "proven at 1",
        store.revision,
        0,
      ]);
    });

    it("is asked by one read at a time all the same, and hides nothing that it lost", async () => {
      store.commit(newEntry("a"));
      await load();
      store.restore(0);
      store.writable = false;
      expect([await prove(), follower.phase, known("a")]).to.deep.equal(["NOT_FRESH", "rebuilding", ["a"]]);
    });
  });

  describe("staleness", () => {
    beforeEach(load);

    it("is counted from when the read was sent, not from when it was answered", async () => {
      ask("a");
      await settle();
      clock.advance(70);
      await release();
      expect(follower.staleness).to.equal(70);
      clock.advance(30);
      expect(follower.staleness).to.equal(100);
    });

    it("is the larger of what the two clocks say", async () => {
      await prove();
      const provenAt = clock.now();
      clock.advance(100);
      clock.jumpTo(provenAt - HOUR);
      const setBack = follower.staleness;
      clock.jumpTo(provenAt + HOUR);
      expect([setBack, follower.staleness]).to.deep.equal([100, HOUR]);
    });

    it("goes on growing while reads fail", async () => {
      await prove();
      clock.advance(1000);
      ask("a");
      await settle();
      await fail();
      expect(follower.staleness).to.equal(1000);
    });
  });

  describe("a revision", () => {
    beforeEach(load);

    it("is reflected once it was read here and everything up to it is in the index", async () => {
      store.commit(newEntry("a"));
      const first = store.revision;
      const before = follower.reflects(first);
      await prove();
      store.commit(newEntry("b"));
      const second = store.revision;
      store.commit(newEntry("c"));
      await prove();
      expect({
        before,
        first: follower.reflects(first),
        neverReadItself: follower.reflects(second),
        last: follower.reflects(store.revision),
        otherStamp: follower.reflects({ ...first, stamp: "f".repeat(16) }),
        ahead: follower.reflects({ number: 4, stamp: store.revision.stamp }),
      }).to.deep.equal({
        ...{ before: false, first: true, neverReadItself: false, last: true, otherStamp: false },
        ahead: false,
      });
    });

    it("is remembered among the latest ten thousand, no longer", async () => {
      store.holding = false;
      const revisions = [];
      for (let count = 0; count <= OBSERVED_REVISIONS; count++) {
        store.commit();
        revisions.push(store.revision);
        await follower.standing();
      }
      expect([revisions[0], revisions[1], revisions.at(-1)].map((one) => follower.reflects(one as never)))
        // The loading has read one more.
        .to.deep.equal([false, true, true]);
    });

    it("is not reflected while the index is rebuilt, although its number is below the lost ones", async () => {
      use({ page: 2 });
      await load();
      for (const entry of newEntries("lost", 5)) store.commit(entry);
      ask("somebody");
      await settle();
      await releaseAll();
      store.restore(0);
      await prove();
      await release();
      store.commit(...newEntries("a", 3));
      await store.scans.at(-1)?.release();
      await settle();
      // The first page of what changed since the rebuilding began.
      await release();
      const during = follower.reflects(store.revision);
      await releaseAll();
      expect([during, follower.phase, follower.reflects(store.revision)]).to.deep.equal([
        false,
        "following",
        true,
      ]);
    });

    it("of a history that was lost while nobody followed is not reflected when the index is loaded again", async () => {
      use({ maxEntries: 2 });
      await load();
      store.commit(newEntry("acknowledged"));
      const lost = store.revision;
      await prove();
      store.commit(newEntry("b"), newEntry("c"));
      await prove();
      expect(follower.phase).to.equal("overflowed");
      store.restore(0);
      for (const name of ["x", "y"]) store.commit(newEntry(name));
      clock.advance(INDEX_RETRY_MS);
      await settle();
      await releaseAll();
      expect([follower.phase, known("acknowledged"), follower.reflects(lost)]).to.deep.equal([
        "following",
        [],
        false,
      ]);
    });

    it("of a history that was lost between two pages of a load is not reflected", async () => {
      use({ page: 2 });
      follower.start();
      await settle();
      await release();
      store.commit(...newEntries("acknowledged", 3));
      const lost = store.revision;
      await store.scans[0]?.release();
      await settle();
      // The first page of what changed meanwhile; two of the three.
      store.restore(0);
      await release();
      await release();
      for (const name of ["x", "y"]) store.commit(newEntry(name));
      clock.advance(LOAD_RETRY_MS);
      await settle();
      await releaseAll();
      expect([follower.phase, known("acknowledged-2"), follower.reflects(lost)]).to.deep.equal([
        "following",
        [],
        false,
      ]);
    });
  });

  describe("sweeping", () => {
    const EXPIRES_AT = Date.UTC(2030, 0, 2);
    const END = EXPIRES_AT + LEEWAY;

    /** How many entries are left of two when the two clocks have reached these instants. */
    async function leftAt({ service, database }: { service: number; database: number }): Promise<number> {
      use();
      store.commit(newEntry("short", at(EXPIRES_AT)), newEntry("long"));
      await load();
      store.skewMs = database - service;
      clock.advance(service - clock.now());
      await prove();
      return follower.size;
    }

    it("forgets what has passed by both clocks and the leeway, to the millisecond, and nothing else", async () => {
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

    it("believes no single clock, however far ahead", async () => {
      expect([
        await leftAt({ service: END + HOUR, database: END - 1 }),
        await leftAt({ service: END - 1, database: END + HOUR }),
      ]).to.deep.equal([2, 2]);
    });

    it("is done at most once a second", async () => {
      store.commit(newEntry("short", at(EXPIRES_AT)));
      await load();
      clock.advance(END - 1 - clock.now());
      await prove();
      const sizes: number[] = [];
      for (const step of [1, SWEEP_INDEX_MS - 2, 1]) {
        clock.advance(step);
        await prove();
        sizes.push(follower.size);
      }
      expect(sizes).to.deep.equal([1, 1, 0]);
    });
  });

  describe("more entries than the index may hold", () => {
    const shrink = () => {
      for (const text of [...store.table.keys()].slice(2)) store.table.delete(text);
    };

    it("are none of them held: it says so loudly, and loads again much later", async () => {
      use({ maxEntries: 3, page: 2 });
      store.commit(...newEntries("a", 4));
      await load();
      expect([follower.phase, follower.isComplete, follower.size, known("a-0")]).to.deep.equal([
        "overflowed",
        false,
        0,
        [],
      ]);
      expect(logged(/index is full/).map(({ level, entries, max }) => [level, entries, max])).to.deep.equal([
        ["error", 4, 3],
      ]);
      shrink();
      clock.advance(INDEX_RETRY_MS - 1);
      await settle();
      expect(store.changes).to.have.length(0);
      clock.advance(1);
      await settle();
      await releaseAll();
      expect([follower.phase, follower.isComplete, known("a-0", "a-1"), await prove()]).to.deep.equal([
        "following",
        true,
        ["a-0", "a-1"],
        "proven at 1",
      ]);
    });

    it("are refused again when there are too many still", async () => {
      use({ maxEntries: 3 });
      store.commit(...newEntries("a", 4));
      await load();
      for (let attempt = 0; attempt < 2; attempt++) {
        clock.advance(INDEX_RETRY_MS);
        await settle();
        await releaseAll();
        expect([follower.phase, follower.size, clock.pendingTimers]).to.deep.equal(["overflowed", 0, 1]);
      }
      expect(logged(/index is full/)).to.have.length(3);
    });

    it("are noticed when a change brings them, and as many as it may hold are not", async () => {
      use({ maxEntries: 3 });
      store.commit(...newEntries("a", 2));
      await load();
      store.commit(newEntry("third"));
      await prove();
      const full = [follower.phase, follower.size];
      store.commit(newEntry("fourth"));
      await prove();
      expect([full, [follower.phase, follower.size, follower.staleness]]).to.deep.equal([
        ["following", 3],
        ["overflowed", 0, Number.POSITIVE_INFINITY],
      ]);
      ask("afterwards");
      await settle();
      expect([told.afterwards, store.changes.length]).to.deep.equal(["NOT_FRESH", 2]);
    });

    for (const [what, happens] of Object.entries({
      "is proven": () => {},
      "finds that commits were lost": () => store.restore(0),
      "finds another full page": () => store.commit(...newEntries("b", 3)),
    })) {
      it(`leave nobody waiting for the next read, and stay out when that ${what}`, async () => {
        use({ maxEntries: 1, page: 3 });
        await load();
        store.commit(...newEntries("a", 2));
        ask("early");
        await settle();
        ask("late");
        happens();
        await release();
        await releaseAll();
        expect([
          Object.keys(told),
          told.early,
          follower.phase,
          follower.isComplete,
          follower.size,
          follower.staleness,
          clock.pendingTimers,
        ]).to.deep.equal([
          ["early", "late"],
          "proven at 1",
          "overflowed",
          false,
          0,
          Number.POSITIVE_INFINITY,
          1,
        ]);
      });
    }

    it("do not end a rebuilding half-way: what was lost is known until both are there", async () => {
      use({ maxEntries: 3, page: 2 });
      store.commit(...newEntries("lost", 3));
      await load();
      store.restore(0);
      store.commit(...newEntries("new", 3));
      await prove();
      await release();
      await store.scans[0]?.release();
      await store.scans[1]?.release();
      await settle();
      expect([follower.phase, known("lost-0", "lost-1", "lost-2", "new-2")]).to.deep.equal([
        "rebuilding",
        ["lost-0", "lost-1", "lost-2", "new-2"],
      ]);
      await releaseAll();
      // Nor is it given up afterwards: it is the only one that knows.
      expect([follower.phase, follower.size]).to.deep.equal(["following", 6]);
      await prove();
      expect(logged(/is kept/).map(({ level, max }) => [level, max])).to.deep.equal([["warn", 3]]);
    });
  });

  describe("many expensive answers", () => {
    const ends: Record<string, () => Promise<void>> = {
      "a proof": () => latest().release(),
      "a failure": () => latest().fail(AWAY),
      "a changed history": () => {
        store.restore(0);
        return latest().release();
      },
    };
    for (const [what, end] of Object.entries(ends)) {
      it(`leave turns to others: ${what}`, async () => {
        store.commit(newEntry("a"));
        await load();
        if (what === "a changed history") store.restore(0);
        const order: string[] = [];
        const answered = () => {
          order.push("answer");
          setImmediate(() => order.push("another's turn"));
        };
        for (let count = 0; count < 3; count++)
          follower.prove({ cost: ANSWERS_A_TURN_MICROS, proven: answered, failed: answered });
        await settle();
        await end();
        await settle();
        expect(order).to.deep.equal(Array(3).fill(["answer", "another's turn"]).flat());
      });
    }
  });

  describe("after it was stopped", () => {
    const states: Record<string, () => Promise<void>> = {
      "while it was loading": async () => {
        follower.start();
        await settle();
      },
      "while a page was read": async () => {
        store.commit(newEntry("a"));
        follower.start();
        await settle();
        await release();
      },
      "before it tried to load again": async () => {
        follower.start();
        await settle();
        await fail();
      },
      "while it was full": async () => {
        use({ maxEntries: 1 });
        store.commit(...newEntries("a", 2));
        await load();
      },
      "while a read was under way": async () => {
        await load();
        ask("first");
        await settle();
        ask("second");
      },
      "while a read was planned": async () => {
        await load();
        ask("first");
      },
      "in the pause after a read that failed": async () => {
        await load();
        ask("first");
        await settle();
        ask("second");
        await fail();
      },
      "while it was rebuilding": async () => {
        store.commit(newEntry("a"));
        await load();
        store.restore(0);
        await prove("first");
      },
    };
    for (const [when, arrive] of Object.entries(states)) {
      it(`${when}, nothing is pending, and nobody waits`, async () => {
        await arrive();
        const begun = store.changes.length + store.scans.length;
        const waiting = ["first", "second"].filter((name) => told[name] === undefined);
        follower.stop();
        await settle();
        expect([clock.pendingTimers, store.tails, logged(/cannot be loaded/).length]).to.deep.equal([
          0,
          0,
          when === "before it tried to load again" ? 1 : 0,
        ]);
        ask("afterwards");
        clock.advance(HOUR);
        await settle();
        expect(Object.keys(told)).to.include.members([...waiting.filter(wasAsked(when)), "afterwards"]);
        expect(told.afterwards).to.equal("STORE_UNAVAILABLE");
        expect([store.changes.length + store.scans.length, clock.pendingTimers]).to.deep.equal([begun, 0]);
      });
    }
  });
});

describe("inTurns", () => {
  it("does everything in order, an expensive thing a turn and cheap ones together", async () => {
    const costs = [1, 1, ANSWERS_A_TURN_MICROS, 1, ANSWERS_A_TURN_MICROS - 1, 1, 1];
    const groups: number[][] = [[]];
    inTurns(
      costs.map((cost, index) => ({ cost, index })),
      ({ index }) => {
        groups.at(-1)?.push(index);
        if (index === 0) void cutEveryTurn();
      },
    );
    async function cutEveryTurn(): Promise<void> {
      for (let count = 0; count < 5; count++) {
        await turn();
        groups.push([]);
      }
    }
    await settle();
    expect(groups.filter(({ length }) => length > 0)).to.deep.equal([
      [0, 1, 2],
      [3, 4],
      [5, 6],
    ]);
  });

  it("does nothing for nobody, and the first of them at once", () => {
    inTurns([], () => {
      throw new Error("nobody asked");
    });
    let done = 0;
    inTurns([{ cost: 1e9 }, { cost: 1 }], () => void done++);
    expect(done).to.equal(1);
  });
});

/** Everything has happened that waits for no outside event. */
async function settle(): Promise<void> {
  for (let count = 0; count < 10; count++) await turn();
}

/** The first read for somebody, not for the load, runs `act` while the follower hands it over. */
function askWhileHandedOver(store: Store, act: () => void): void {
  const openTail = store.openTail.bind(store);
  store.openTail = (): Tail => {
    const tail = openTail();
    let calls = 0;
    return {
      ...tail,
      changes(from, seen): Promise<Changes> {
        const changes = tail.changes(from, seen);
        // The load has taken three.
        if (++calls === 4) act();
        return changes;
      },
    };
  };
}

function positionOf(input: unknown): [number, string] {
  const { from } = input as { from: { revision: number; jti: Uint8Array } };
  return [from.revision, Buffer.from(from.jti).toString()];
}

/** Who had asked before it was stopped. */
function wasAsked(when: string): (name: string) => boolean {
  return (name) => {
    if (when === "while a read was planned") return name === "first";
    return when === "while a read was under way" || when === "in the pause after a read that failed";
  };
}
