import { expect } from "chai";
import fc from "fast-check";
import { AcknowledgedCommits } from "../../src/blacklist/acknowledged-commits.ts";
import { ChangeLog } from "../../src/blacklist/change-log.ts";
import type { CheckAnswer, Freshness } from "../../src/blacklist/check-service.ts";
import { CoalescedChecks } from "../../src/blacklist/coalesced-checks.ts";
import { FAILED_READ_PAUSE_MS, Follower, LOAD_RETRY_MS } from "../../src/blacklist/follower.ts";
import { IndexedChecks } from "../../src/blacklist/indexed-checks.ts";
import type { EpochMs, Jti } from "../../src/entry.ts";
import { type ServiceError, storeUnavailable } from "../../src/errors.ts";
import { INDEX_RETRY_MS, MAX_QUEUED_JTIS } from "../../src/limits.ts";
import type { Role } from "../../src/principal.ts";
import { formatRevision, parseRevision, type Revision } from "../../src/revision.ts";
import { ClockBounds } from "../../src/time/clock-bounds.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { type Held, HeldStore, turn } from "../support/held-store.ts";
import { memoryLog } from "../support/memory-log.ts";
import { newEntries, newEntry } from "../support/new-entry.ts";
import { reasonOf } from "../support/rejection.ts";

const HERE = { isGone: false };
const FRESH: Freshness = { kind: "linearizable" };
const LEEWAY = 60_000;
const HOUR = 3_600_000;
const AWAY = storeUnavailable("away");
const jtis = (...texts: string[]) => texts as Jti[];
const within = (ms: number): Freshness => ({ kind: "max-staleness", ms });
const many = (prefix: string, count: number) =>
  Array.from({ length: count }, (_, index) => `${prefix}-${index}`);

describe("IndexedChecks", () => {
  let clock: FakeClock;
  let store: HeldStore;
  let follower: Follower;
  let checks: IndexedChecks;

  beforeEach(() => use());

  function use({ maxEntries = 1_000_000 } = {}): void {
    clock = new FakeClock();
    store = new HeldStore({ clock });
    const clockBounds = new ClockBounds(clock);
    const { log } = memoryLog();
    const acknowledged = new AcknowledgedCommits(store);
    follower = new Follower({
      store,
      acknowledged,
      clock,
      clockBounds,
      log,
      changeLog: new ChangeLog(),
      leewayMs: LEEWAY,
      maxEntries,
    });
    const fallback = new CoalescedChecks({ store, acknowledged, clock, leewayMs: LEEWAY });
    checks = new IndexedChecks({ follower, fallback, clockBounds, leewayMs: LEEWAY });
  }

  /** Loads the index, proves it once, and clears the record of reads. */
  async function load(): Promise<void> {
    store.holding = false;
    follower.start();
    while (follower.phase === "loading") await turn();
    if (follower.phase === "following") await follower.databaseState();
    store.holding = true;
    for (const begun of [store.changes, store.scans, store.reads]) begun.splice(0);
  }

  const ask = async (freshness: Freshness, ...texts: string[]) =>
    checks.check(jtis(...texts), freshness, HERE);
  const check = (...texts: string[]) => ask(FRESH, ...texts);
  const verdictsOf = async (answer: Promise<CheckAnswer>) => (await answer).verdicts;

  /** The number of reads that have begun: of the index, and of checks without it. */
  const begun = () => ({ index: store.changes.length, fallback: store.reads.length });

  async function release(reads: readonly Held<unknown>[] = store.changes): Promise<void> {
    await settle();
    await reads.at(-1)?.release();
    await settle();
  }

  /** Completes all reads, and those that they cause. */
  async function releaseAll(): Promise<void> {
    const all = () => [...store.scans, ...store.changes, ...store.reads];
    for (let before = -1; before !== all().length; ) {
      before = all().length;
      for (const held of all()) await held.release();
      await settle();
    }
  }

  async function fail(reads: readonly Held<unknown>[] = store.changes): Promise<void> {
    await settle();
    await reads.at(-1)?.fail(AWAY);
    await settle();
  }

  describe("with the index loaded", () => {
    beforeEach(async () => {
      store.commit(newEntry("a"), newEntry("b"));
      await load();
    });

    it("answers at once, without a read, if every jti is blacklisted", async () => {
      expect([checks.check(jtis("b", "a", "b"), FRESH, HERE), begun()]).to.deep.equal([
        { verdicts: Array(3).fill("blacklisted"), revision: store.revision },
        { index: 0, fallback: 0 },
      ]);
    });

    it("answers all other checks in order, by one read for all, with the revision of that read", async () => {
      store.commit(newEntry("new"));
      const answers = [check("x", "a", "A", "new"), check("x")];
      await release();
      expect([await Promise.all(answers), begun()]).to.deep.equal([
        [
          {
            verdicts: ["not-blacklisted", "blacklisted", "not-blacklisted", "blacklisted"],
            revision: store.revision,
          },
          { verdicts: ["not-blacklisted"], revision: store.revision },
        ],
        { index: 1, fallback: 0 },
      ]);
    });

    it("answers a check that arrives while a read is in flight from the next read only", async () => {
      const early = check("new");
      await settle();
      store.commit(newEntry("new"));
      const late = check("new");
      await release();
      await release();
      expect([await verdictsOf(early), await verdictsOf(late), begun().index]).to.deep.equal([
        ["not-blacklisted"],
        ["blacklisted"],
        2,
      ]);
    });

    it("gives no negatives by a failed read, and returns unknown beside positives", async () => {
      const alone = reasonOf(check("x"));
      const beside = check("x", "a", "y");
      await fail();
      expect([await alone, await verdictsOf(beside)]).to.deep.equal([
        "STORE_UNAVAILABLE",
        ["unknown", "blacklisted", "unknown"],
      ]);
    });

    it("gives no negatives while the database is read-only, and gives them again afterwards", async () => {
      store.commit(newEntry("c"));
      store.writable = false;
      const during = [reasonOf(check("x")), verdictsOf(check("x", "a")), verdictsOf(check("c", "x"))];
      await release();
      store.writable = true;
      const after = verdictsOf(check("x"));
      await release();
      expect([await Promise.all(during), await after]).to.deep.equal([
        ["NOT_FRESH", ["unknown", "blacklisted"], ["blacklisted", "unknown"]],
        ["not-blacklisted"],
      ]);
    });

    it("answers a batch as it would its jtis one by one, and as the database would", async () => {
      const texts = ["a", "b", "c", "A", "a ", "é", "e\u0301", "ａ"];
      const batches = fc.array(fc.constantFrom(...texts), { minLength: 1, maxLength: 30 });
      const known = fc.uniqueArray(fc.constantFrom(...texts));
      await fc.assert(
        fc.asyncProperty(known, batches, async (blacklisted, batch) => {
          use();
          store.commit(...blacklisted.map((text) => newEntry(text)));
          await load();
          store.holding = false;
          const together = await verdictsOf(check(...batch));
          const single = await Promise.all(batch.map(async (text) => (await check(text)).verdicts[0]));
          expect([together, single]).to.deep.equal([
            single,
            batch.map((text) => (blacklisted.includes(text) ? "blacklisted" : "not-blacklisted")),
          ]);
          follower.stop();
        }),
        { numRuns: 50 },
      );
    });
  });

  describe("max_staleness", () => {
    beforeEach(async () => {
      store.commit(newEntry("a"));
      await load();
    });

    it("is answered without a read while the index is as fresh, to the millisecond", async () => {
      store.commit(newEntry("new"));
      clock.advance(100);
      const fresh = await verdictsOf(ask(within(100), "new", "a"));
      const before = begun().index;
      const staler = verdictsOf(ask(within(99), "new", "a"));
      await release();
      expect([fresh, before, await staler, begun()]).to.deep.equal([
        ["not-blacklisted", "blacklisted"],
        0,
        ["blacklisted", "blacklisted"],
        { index: 1, fallback: 0 },
      ]);
    });

    it("counts from the time when the last read was sent", async () => {
      const first = check("x");
      await settle();
      store.commit(newEntry("new"));
      clock.advance(100);
      await release();
      await first;
      const answer = verdictsOf(ask(within(99), "new"));
      await release();
      expect(await answer).to.deep.equal(["blacklisted"]);
    });

    it("counts by the clock that shows more", async () => {
      store.commit(newEntry("new"));
      const [start, answers] = [clock.now(), []] as [number, Promise<readonly string[]>[]];
      // The wall clock is set back an hour; the monotonic clock continues.
      clock.advance(1000);
      clock.jumpTo(start - HOUR);
      answers.push(verdictsOf(ask(within(999), "new")));
      await release();
      // The monotonic clock stood still during a suspension.
      clock.jumpTo(start + HOUR);
      store.commit(newEntry("newer"));
      answers.push(verdictsOf(ask(within(HOUR - 1), "newer")));
      await release();
      expect(await Promise.all(answers)).to.deep.equal([["blacklisted"], ["blacklisted"]]);
    });

    it("of zero is as fresh as an unspecified one", async () => {
      for (const freshness of [FRESH, within(0)]) {
        const name = `new ${freshness.kind}`;
        // No millisecond has passed since the last proof.
        store.commit(newEntry(name));
        const answer = verdictsOf(ask(freshness, name));
        await release();
        expect(await answer, freshness.kind).to.deep.equal(["blacklisted"]);
      }
    });

    it("allows negatives while the database is unavailable, until the index is too stale", async () => {
      const linearizable = reasonOf(check("x"));
      await fail();
      clock.advance(60_000);
      const atTheEnd = await verdictsOf(ask(within(60_000), "x", "a"));
      clock.advance(1);
      const tooLate = [reasonOf(ask(within(60_000), "x")), verdictsOf(ask(within(60_000), "x", "a"))];
      await fail();
      expect([await linearizable, atTheEnd, ...(await Promise.all(tooLate))]).to.deep.equal([
        "STORE_UNAVAILABLE",
        ["not-blacklisted", "blacklisted"],
        "STORE_UNAVAILABLE",
        ["unknown", "blacklisted"],
      ]);
    });

    it("of any length gives no negatives by an index without a proof or during a rebuild", async () => {
      store.restore(0);
      const noticed = reasonOf(check("x"));
      await release();
      expect([await noticed, await reasonOf(ask(within(1e12), "x"))]).to.deep.equal([
        "NOT_FRESH",
        "NOT_FRESH",
      ]);
      await releaseAll();
      const rebuilt = verdictsOf(ask(within(1e12), "x"));
      await settle();
      expect(begun().index).to.be.at.least(4);
      await release();
      expect(await rebuilt).to.deep.equal(["not-blacklisted"]);
    });
  });

  describe("a caller whose own token can be blacklisted", () => {
    const caller = {
      isGone: false,
      principal: { name: "gateway", roles: new Set<Role>(), token: "own" as Jti },
    };
    const asCaller = async (freshness: Freshness, ...texts: string[]) =>
      checks.check(jtis(...texts), freshness, caller);
    let before: Revision;

    beforeEach(async () => {
      before = store.revision;
      store.commit(newEntry("a"));
      await load();
    });

    it("is answered like others while it is not", async () => {
      const answer = asCaller(FRESH, "a", "x");
      await releaseAll();
      expect(await verdictsOf(answer)).to.deep.equal(["blacklisted", "not-blacklisted"]);
    });

    it("is refused by the proof that it is blacklisted, even if all verdicts are already known", async () => {
      store.commit(newEntry("own"));
      const answers = [reasonOf(asCaller(FRESH, "a")), reasonOf(asCaller(FRESH, "x"))];
      await releaseAll();
      expect(await Promise.all(answers)).to.deep.equal(["UNAUTHENTICATED", "UNAUTHENTICATED"]);
      expect(begun()).to.deep.equal({ index: 1, fallback: 0 });
    });

    it("is refused by the database's answer too, if a revision is looked up, for any other verdicts", async () => {
      const since = { kind: "at-least", revision: before } as const;
      const answer = reasonOf(asCaller(since, "a", "x"));
      await settle();
      // The proof is older than this.
      store.commit(newEntry("own"));
      await release();
      const asked = begun();
      await release(store.reads);
      expect([await answer, asked]).to.deep.equal(["UNAUTHENTICATED", { index: 1, fallback: 1 }]);
    });

    it("is refused while the database is unavailable if its token is in the index, and receives positives if it is not", async () => {
      const unknown = verdictsOf(asCaller(FRESH, "a", "x"));
      await fail();
      expect(await unknown).to.deep.equal(["blacklisted", "unknown"]);
      store.commit(newEntry("own"));
      clock.advance(FAILED_READ_PAUSE_MS);
      const proven = reasonOf(asCaller(FRESH, "a"));
      await releaseAll();
      await proven;
      const refused = reasonOf(asCaller(FRESH, "a", "x"));
      await fail();
      expect(await refused).to.equal("UNAUTHENTICATED");
    });
  });

  describe("at_least_revision", () => {
    let older: Revision;
    let loaded: Revision;
    const since = (revision: Revision, ...texts: string[]) => ask({ kind: "at-least", revision }, ...texts);
    const stampedOtherwise = () => ({ ...loaded, stamp: "f".repeat(16) });
    const ahead = () => ({ ...loaded, number: loaded.number + 1 });

    beforeEach(async () => {
      store.commit(newEntry("a"));
      older = store.revision;
      store.commit(newEntry("b"));
      loaded = store.revision;
      await load();
    });

    it("is answered at once if the revision was read here", async () => {
      expect([await since(loaded, "x", "a"), begun()]).to.deep.equal([
        { verdicts: ["not-blacklisted", "blacklisted"], revision: loaded },
        { index: 0, fallback: 0 },
      ]);
    });

    it("is answered by the proof alone if its read had the revision", async () => {
      store.commit(newEntry("new"));
      const answer = verdictsOf(since(store.revision, "new", "x"));
      await releaseAll();
      expect([await answer, begun()]).to.deep.equal([
        ["blacklisted", "not-blacklisted"],
        { index: 1, fallback: 0 },
      ]);
    });

    it("is looked up in the database if no read had it, and answered once the index is proven up to it", async () => {
      const answer = since(older, "x", "a", "new");
      await release();
      const lookedUp = begun();
      store.commit(newEntry("new"));
      await release(store.reads);
      const provenAgain = begun();
      await release();
      expect([await answer, lookedUp, provenAgain]).to.deep.equal([
        { verdicts: ["not-blacklisted", "blacklisted", "blacklisted"], revision: store.revision },
        { index: 1, fallback: 1 },
        { index: 2, fallback: 1 },
      ]);
    });

    it("is not answered by an index whose history is lost after the revision was found", async () => {
      const answers = [reasonOf(since(older, "x")), verdictsOf(since(older, "x", "b"))];
      await release();
      store.restore(1);
      await release(store.reads);
      await release(store.reads);
      await release();
      expect(await Promise.all(answers)).to.deep.equal(["NOT_FRESH", ["unknown", "blacklisted"]]);
    });

    it("is left to the database if the index overflows while the revision is looked up", async () => {
      use({ maxEntries: 2 });
      store.commit(newEntry("a"));
      const first = store.revision;
      store.commit(newEntry("b"));
      await load();
      const answer = verdictsOf(since(first, "a", "c", "x"));
      await release();
      store.commit(newEntry("c"));
      const other = verdictsOf(check("c"));
      await release();
      expect(follower.phase).to.equal("overflowed");
      await releaseAll();
      expect([await answer, await other]).to.deep.equal([
        ["blacklisted", "blacklisted", "not-blacklisted"],
        ["blacklisted"],
      ]);
    });

    for (const [what, revision] of Object.entries({
      "is ahead of the database": ahead,
      "has another stamp": stampedOtherwise,
    })) {
      it(`is refused when the revision ${what}, and returns unknown beside positives`, async () => {
        const answers = [reasonOf(since(revision(), "x")), verdictsOf(since(revision(), "x", "a"))];
        await releaseAll();
        expect(await Promise.all(answers)).to.deep.equal(["REVISION_LOST", ["unknown", "blacklisted"]]);
      });

      it(`returns positives at once when the revision ${what}`, async () => {
        expect([await verdictsOf(since(revision(), "a", "b")), begun().fallback]).to.deep.equal([
          ["blacklisted", "blacklisted"],
          0,
        ]);
      });
    }

    const STEPS: Record<string, () => Promise<void>> = {
      "before it is looked up": async () => {
        await fail();
      },
      "while it is looked up": async () => {
        await release();
        await fail(store.reads);
        await fail(store.reads);
      },
      "after it was found": async () => {
        await release();
        await release(store.reads);
        await release(store.reads);
        await fail();
        clock.advance(FAILED_READ_PAUSE_MS);
        await fail();
      },
    };
    for (const [when, goAway] of Object.entries(STEPS)) {
      it(`is refused when the database is unavailable ${when}, and returns unknown beside positives`, async () => {
        const answers = [reasonOf(since(older, "x")), verdictsOf(since(older, "x", "a"))];
        await goAway();
        expect(await Promise.all(answers)).to.deep.equal(["STORE_UNAVAILABLE", ["unknown", "blacklisted"]]);
      });
    }

    it("is answered by the index while the database is unavailable, if the revision was read here", async () => {
      const first = reasonOf(check("x"));
      await fail();
      expect([await first, await verdictsOf(since(loaded, "x"))]).to.deep.equal([
        "STORE_UNAVAILABLE",
        ["not-blacklisted"],
      ]);
    });

    it("of a lost history is refused before, during and after a rebuild of the index", async () => {
      store.restore(1);
      const noticed = reasonOf(check("x"));
      await release();
      const during = [await reasonOf(since(loaded, "x")), await verdictsOf(since(loaded, "x", "b"))];
      await releaseAll();
      const after = [reasonOf(since(loaded, "x")), verdictsOf(since(loaded, "x", "b"))];
      await releaseAll();
      expect([await noticed, during, await Promise.all(after)]).to.deep.equal([
        "NOT_FRESH",
        ["NOT_FRESH", ["unknown", "blacklisted"]],
        ["REVISION_LOST", ["unknown", "blacklisted"]],
      ]);
    });

    describe("that falls back on a database which has lost a token of the index", () => {
      /** "b" is of the lost history alone; "c" is in the database. */
      async function arrive({ noticed }: { noticed: boolean }): Promise<void> {
        store.restore(1);
        store.commit(newEntry("c"));
        if (!noticed) return;
        const first = reasonOf(check("x"));
        await release();
        await first;
        await releaseAll();
        expect(follower.phase).to.equal("following");
      }

      for (const noticed of [false, true]) {
        const when = noticed ? "after the index was rebuilt" : "before the loss was noticed";

        it(`still returns the positive: ${when}`, async () => {
          await arrive({ noticed });
          const answer = verdictsOf(since(older, "b", "x"));
          await releaseAll();
          expect((await answer)[0]).to.equal("blacklisted");
        });

        it(`still returns the positive when the check is otherwise unavailable: ${when}`, async () => {
          await arrive({ noticed });
          const answer = verdictsOf(since({ number: 99, stamp: "f".repeat(16) }, "b", "c", "x"));
          await releaseAll();
          // "c" was never read here if the loss was not noticed.
          const inDatabase = noticed ? "blacklisted" : "unknown";
          expect(await answer).to.deep.equal(["blacklisted", inDatabase, "unknown"]);
        });
      }
    });
  });

  describe("without an index", () => {
    it("checks look up the database, and the index once it is loaded", async () => {
      store.commit(newEntry("a"));
      const before = check("a", "x");
      follower.start();
      await settle();
      const loading = check("a", "x");
      await settle();
      expect([begun().fallback, store.reads.map(({ input }) => input)]).to.deep.equal([1, [["a", "x"]]]);
      await releaseAll();
      expect([follower.phase, await verdictsOf(before), await verdictsOf(loading)]).to.deep.equal([
        "following",
        ["blacklisted", "not-blacklisted"],
        ["blacklisted", "not-blacklisted"],
      ]);
      const reads = begun().fallback;
      const loaded = verdictsOf(check("a", "x"));
      await release();
      expect([await loaded, begun().fallback]).to.deep.equal([["blacklisted", "not-blacklisted"], reads]);
    });

    it("checks do not use the part that is loaded", async () => {
      store.page = 2;
      store.commit(...newEntries("a", 5));
      follower.start();
      await release();
      await store.scans[0]?.release();
      await settle();
      const answers = [check("a-4"), ask(within(1e12), "a-4"), check("a-0")];
      await settle();
      await store.reads[0]?.release();
      await settle();
      await store.reads[1]?.release();
      expect([follower.phase, follower.entries.size, await Promise.all(answers)]).to.deep.equal([
        "loading",
        2,
        Array(3).fill({ verdicts: ["blacklisted"], revision: store.revision }),
      ]);
    });

    it("checks look up the database while loading keeps failing", async () => {
      follower.start();
      await fail();
      store.commit(newEntry("a"));
      const answer = verdictsOf(check("a", "x"));
      await release(store.reads);
      clock.advance(LOAD_RETRY_MS);
      await fail();
      const later = reasonOf(check("x"));
      await fail(store.reads);
      expect([await answer, await later]).to.deep.equal([
        ["blacklisted", "not-blacklisted"],
        "STORE_UNAVAILABLE",
      ]);
    });

    it("checks look up the database while there are too many entries for the index", async () => {
      use({ maxEntries: 1 });
      store.commit(newEntry("a"), newEntry("b"));
      await load();
      const full = verdictsOf(check("b", "x"));
      await release(store.reads);
      store.table.delete("a");
      clock.advance(INDEX_RETRY_MS);
      await settle();
      const loading = verdictsOf(check("b", "x"));
      await release(store.reads);
      await releaseAll();
      const loaded = verdictsOf(check("b", "x"));
      await release();
      expect([await full, await loading, await loaded, begun().fallback]).to.deep.equal([
        ...Array(3).fill(["blacklisted", "not-blacklisted"]),
        2,
      ]);
    });

    it("checks do not read an index that was emptied before their answer's turn", async () => {
      use({ maxEntries: 1 });
      store.commit(newEntry("a"));
      await load();
      store.commit(newEntry("b"));
      // More answers than fit one turn, and the rows that fill the index come with the same read.
      const answers = Array.from({ length: 30 }, (_, index) => check(...many(`${index}`, 998), "a", "b"));
      await release();
      await releaseAll();
      const verdicts = (await Promise.all(answers)).map((answer) => answer.verdicts);
      expect([follower.phase, begun().fallback > 0]).to.deep.equal(["overflowed", true]);
      expect(verdicts).to.deep.equal(
        Array(30).fill([...Array(998).fill("not-blacklisted"), "blacklisted", "blacklisted"]),
      );
    });

    it("checks that waited for the next read look up the database when the index overflows", async () => {
      use({ maxEntries: 1 });
      store.commit(newEntry("a"));
      await load();
      const early = check("x");
      await settle();
      const late = check("a", "y");
      store.commit(newEntry("b"));
      await release();
      const noticed = check("x", "a", "b");
      await releaseAll();
      const last = check("b", "y");
      await releaseAll();
      expect(await Promise.all([early, late, noticed, last].map(verdictsOf))).to.deep.equal([
        ["not-blacklisted"],
        ["blacklisted", "not-blacklisted"],
        ["not-blacklisted", "blacklisted", "blacklisted"],
        ["blacklisted", "not-blacklisted"],
      ]);
    });
  });

  describe("while the database has lost commits", () => {
    beforeEach(async () => {
      store.commit(newEntry("kept"));
      store.commit(newEntry("lost"));
    });

    it("gives no negatives until the index holds both histories, and forgets nothing", async () => {
      await load();
      store.restore(1);
      store.commit(newEntry("new"));
      const noticed = [reasonOf(check("x")), verdictsOf(check("x", "lost"))];
      await release();
      const during = [reasonOf(check("x")), verdictsOf(check("x", "lost")), verdictsOf(check("lost"))];
      expect([await Promise.all(noticed), await Promise.all(during), begun().fallback]).to.deep.equal([
        ["NOT_FRESH", ["unknown", "blacklisted"]],
        ["NOT_FRESH", ["unknown", "blacklisted"], ["blacklisted"]],
        0,
      ]);
      await releaseAll();
      const after = check("kept", "lost", "new", "x");
      await release();
      expect(await after).to.deep.equal({
        verdicts: ["blacklisted", "blacklisted", "blacklisted", "not-blacklisted"],
        revision: store.revision,
      });
    });

    it("gives no negatives either if they were lost while the index was loaded", async () => {
      follower.start();
      await release();
      store.restore(1);
      await store.scans[0]?.release();
      await release();
      const during = [reasonOf(check("x")), verdictsOf(check("x", "lost")), reasonOf(ask(within(1e12), "x"))];
      expect([follower.phase, await Promise.all(during), begun().fallback]).to.deep.equal([
        "rebuilding",
        ["NOT_FRESH", ["unknown", "blacklisted"], "NOT_FRESH"],
        0,
      ]);
      clock.advance(LOAD_RETRY_MS);
      await settle();
      await releaseAll();
      const after = verdictsOf(check("lost", "x"));
      await release();
      expect(await after).to.deep.equal(["blacklisted", "not-blacklisted"]);
    });

    it("returns only revisions that it would accept", async () => {
      follower.start();
      await release();
      store.restore(1);
      await store.scans[0]?.release();
      await release();
      const { revision } = await check("lost");
      expect(parseRevision(formatRevision(revision)), formatRevision(revision)).not.to.equal(undefined);
    });
  });

  describe("expiry", () => {
    const EXPIRES_AT = Date.UTC(2030, 5, 1);
    const END = EXPIRES_AT + LEEWAY;

    /** The verdict with each of the two clocks at the time given, as far as the index learns it. */
    async function verdictAt({ service, database }: { service: number; database: number }): Promise<unknown> {
      use();
      store.commit(newEntry("a", { expiresAt: EXPIRES_AT as EpochMs }));
      await load();
      clock.jumpTo(service);
      store.skewMs = database - service;
      store.holding = false;
      // The answer to another check has the database's clock.
      await check("x");
      const [verdict] = await verdictsOf(check("a"));
      return verdict;
    }

    it("has passed at exp + leeway by both clocks, to the millisecond", async () => {
      const steps = [-2, -1, 0, 1];
      const verdicts: unknown[] = [];
      for (const service of steps) {
        for (const database of steps)
          verdicts.push(await verdictAt({ service: END + service, database: END + database }));
      }
      expect(verdicts).to.deep.equal(
        steps.flatMap((service) =>
          steps.map((database) => (service >= 0 && database >= 0 ? "not-blacklisted" : "blacklisted")),
        ),
      );
    });

    it("has not passed by one clock that is far ahead", async () => {
      const [before, after] = [END - 1, END + 24 * HOUR];
      expect([
        await verdictAt({ service: before, database: after }),
        await verdictAt({ service: after, database: before }),
      ]).to.deep.equal(["blacklisted", "blacklisted"]);
    });

    it("gives a negative only by a proof, like any other negative", async () => {
      store.commit(newEntry("a", { expiresAt: EXPIRES_AT as EpochMs }));
      await load();
      clock.advance(END - clock.now());
      // Blacklisted again by another replica, with a later expiry.
      store.commit(newEntry("a"));
      const answer = verdictsOf(check("a"));
      await release();
      expect(await answer).to.deep.equal(["blacklisted"]);
    });
  });

  describe("too many waiting checks", () => {
    const batch = many("q", 1000);
    const fill = (caller = HERE) =>
      Array.from({ length: MAX_QUEUED_JTIS / batch.length }, async () => {
        try {
          await checks.check(jtis(...batch), FRESH, caller);
          return "answered";
        } catch (error) {
          return (error as ServiceError).reason;
        }
      });

    beforeEach(async () => {
      store.commit(newEntry("a"));
      await load();
    });

    it("leave room for other callers than the one with the most", async () => {
      const by = (name: string) => ({ ...HERE, principal: { name, roles: new Set<never>() } });
      const greedy = fill(by("greedy"));
      const other = checks.check(jtis(...batch), FRESH, by("other"));
      await release();
      const outcomes = await Promise.all(greedy);
      expect(outcomes.filter((one) => one === "answered")).to.have.length(375);
      expect(new Set(outcomes)).to.deep.equal(new Set(["answered", "OVERLOADED"]));
      expect((await other).verdicts).to.have.length(1000);
    });

    const ends: Record<string, { end: () => Promise<void>; told: string }> = {
      "a proof": { end: release, told: "answered" },
      "a failure": { end: fail, told: "STORE_UNAVAILABLE" },
    };
    for (const [what, { end, told }] of Object.entries(ends)) {
      it(`are refused, and there is room again after ${what}`, async () => {
        const queued = fill();
        expect(await reasonOf(check("one too many"))).to.equal("OVERLOADED");
        expect(await verdictsOf(check("a"))).to.deep.equal(["blacklisted"]);
        await end();
        expect(new Set(await Promise.all(queued))).to.deep.equal(new Set([told]));
        clock.advance(FAILED_READ_PAUSE_MS);
        const again = fill();
        await release();
        expect(new Set(await Promise.all(again))).to.deep.equal(new Set(["answered"]));
      });
    }

    it("leave room again when they are cancelled", async () => {
      const caller = { isGone: false };
      const queued = fill(caller);
      caller.isGone = true;
      await release();
      expect(new Set(await Promise.all(queued))).to.deep.equal(new Set(["CANCELLED"]));
      const again = verdictsOf(check("x"));
      await release();
      expect(await again).to.deep.equal(["not-blacklisted"]);
    });
  });

  it("drops a check that is cancelled, and answers the others of its read", async () => {
    await load();
    const caller = { isGone: false };
    const dropped = reasonOf(Promise.resolve(checks.check(jtis("x"), FRESH, caller)));
    const kept = verdictsOf(check("x"));
    await settle();
    caller.isGone = true;
    await release();
    expect([await dropped, await kept, begun()]).to.deep.equal([
      "CANCELLED",
      ["not-blacklisted"],
      { index: 1, fallback: 0 },
    ]);
  });
});

/** Lets everything happen that depends on no outside event. */
async function settle(): Promise<void> {
  for (let count = 0; count < 10; count++) await turn();
}
