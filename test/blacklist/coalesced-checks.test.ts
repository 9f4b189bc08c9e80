import { expect } from "chai";
import fc from "fast-check";
import { AcknowledgedCommits } from "../../src/blacklist/acknowledged-commits.ts";
import type { CheckAnswer, Freshness } from "../../src/blacklist/check-service.ts";
import { CoalescedChecks, MAX_READ_BYTES, MAX_READ_JTIS } from "../../src/blacklist/coalesced-checks.ts";
import type { Role } from "../../src/caller.ts";
import type { EpochMs, Jti } from "../../src/entry.ts";
import { storeUnavailable } from "../../src/errors.ts";
import { MAX_QUEUED_JTIS } from "../../src/limits.ts";
import type { Revision } from "../../src/revision.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { HeldStore, turn } from "../support/held-store.ts";
import { newEntry } from "../support/new-entry.ts";
import { reasonOf } from "../support/rejection.ts";

const HERE = { isGone: false };
const FRESH: Freshness = { kind: "linearizable" };
const LEEWAY = 60_000;
const jtis = (...texts: string[]) => texts as Jti[];
const many = (prefix: string, count: number) =>
  Array.from({ length: count }, (_, index) => `${prefix}-${index}`);

describe("CoalescedChecks", () => {
  let clock: FakeClock;
  let store: HeldStore;
  let acknowledged: AcknowledgedCommits;
  let checks: CoalescedChecks;

  beforeEach(() => use({ holding: true }));

  function use({ holding }: { holding: boolean }): void {
    clock = new FakeClock();
    store = new HeldStore({ clock, holding });
    acknowledged = new AcknowledgedCommits(store);
    checks = new CoalescedChecks({ store, acknowledged, clock, leewayMs: LEEWAY });
  }

  const check = (...texts: string[]) => checks.check(jtis(...texts), FRESH, HERE);
  const blacklist = (text: string, expiresAt?: number) =>
    store.table.set(text, {
      ...newEntry(text, expiresAt === undefined ? {} : { expiresAt: expiresAt as EpochMs }),
      createdAt: null,
    });
  /** The jtis of every read that has begun. */
  const asked = () => store.reads.map(({ input }) => input);
  const release = () => store.reads.at(-1)?.release();

  async function releaseAll(): Promise<void> {
    for (let next = 0; next < store.reads.length; next++) await store.reads[next]?.release();
  }

  it("answers each jti in order, with the revision that the read saw", async () => {
    blacklist("a");
    const answer = check("b", "a", "A", "b");
    await release();
    expect(await answer).to.deep.equal({
      verdicts: ["not-blacklisted", "blacklisted", "not-blacklisted", "not-blacklisted"],
      revision: store.revision,
    });
  });

  it("has one read in flight, and coalesces the checks that arrive meanwhile into the next, with each jti once", async () => {
    const answers = [check("a"), check("b", "c"), check("c", "b", "d")];
    await turn();
    expect(asked()).to.deep.equal([["a"]]);
    await release();
    expect(asked()).to.deep.equal([["a"], ["b", "c", "d"]]);
    await release();
    expect((await Promise.all(answers)).map(({ verdicts }) => verdicts.length)).to.deep.equal([1, 2, 3]);
  });

  it("refuses a caller whose own token is blacklisted, by the same read", async () => {
    const caller = {
      isGone: false,
      principal: { name: "gateway", roles: new Set<Role>(), token: "own" as Jti },
    };
    const admitted = checks.check(jtis("a"), FRESH, caller);
    await release();
    expect((await admitted).verdicts).to.deep.equal(["not-blacklisted"]);
    blacklist("own");
    blacklist("b");
    const refused = reasonOf(checks.check(jtis("a", "b"), FRESH, caller));
    await release();
    expect([await refused, asked()]).to.deep.equal([
      "UNAUTHENTICATED",
      [
        ["a", "own"],
        ["a", "b", "own"],
      ],
    ]);
  });

  it("answers a check that arrives while a read is in flight from the next read only", async () => {
    const early = check("a");
    await turn();
    // The read began before this commit; the check below after it.
    blacklist("a");
    const late = check("a");
    await release();
    expect(asked()).to.deep.equal([["a"], ["a"]]);
    await release();
    expect([(await early).verdicts, (await late).verdicts]).to.deep.equal([
      ["not-blacklisted"],
      ["blacklisted"],
    ]);
  });

  it("removes checks from the queue before their read is sent: a check made in the same moment is not among them", async () => {
    const reentrant: Promise<CheckAnswer>[] = [];
    const read = store.read.bind(store);
    store.read = (texts) => {
      const lookUp = read(texts);
      if (reentrant.length === 0) {
        blacklist("b");
        reentrant.push(check("b"));
      }
      return lookUp;
    };
    void check("b");
    await release();
    expect(asked()).to.deep.equal([["b"], ["b"]]);
    await release();
    expect((await reentrant[0])?.verdicts).to.deep.equal(["blacklisted"]);
  });

  it("never exceeds the maximum of jtis in one read", async () => {
    void check("first");
    const third = Math.floor(MAX_READ_JTIS / 3);
    for (let index = 0; index < 7; index++) void check(...many(`${index}`, third));
    await releaseAll();
    expect(asked().map(({ length }) => length)).to.deep.equal([1, 3 * third, 3 * third, third]);
  });

  it("never exceeds the maximum of jtis in one read by the revisions of calls without jtis", async () => {
    void check("first");
    for (let number = 1; number <= MAX_READ_JTIS + 1; number++) {
      const revision = { number, stamp: "f".repeat(16) };
      void checks.check([], { kind: "at-least", revision }, HERE).catch(() => {});
    }
    await releaseAll();
    expect(store.lookUps.map(({ length }) => length)).to.deep.equal([0, MAX_READ_JTIS, 1]);
  });

  it("never exceeds the maximum of bytes in one read", async () => {
    void check("first");
    for (let index = 0; index < 4; index++) void check(...many("é".repeat(120) + index, 1000));
    await releaseAll();
    const bytes = asked().map((texts) => texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0));
    expect(asked().map(({ length }) => length)).to.deep.equal([1, 1000, 1000, 1000, 1000]);
    expect(Math.max(...bytes)).to.be.at.most(MAX_READ_BYTES);
  });

  it("drops a check that is cancelled before its read begins, and answers the others", async () => {
    void check("first");
    const caller = { isGone: false };
    const dropped = reasonOf(checks.check(jtis("a"), FRESH, caller));
    const kept = check("b");
    caller.isGone = true;
    await releaseAll();
    expect([await dropped, (await kept).verdicts, asked()]).to.deep.equal([
      "CANCELLED",
      ["not-blacklisted"],
      [["first"], ["b"]],
    ]);
  });

  it("answers the others when a check is cancelled while its read is in flight", async () => {
    void check("first");
    const caller = { isGone: false };
    void checks.check(jtis("a"), FRESH, caller);
    const other = check("b");
    await release();
    caller.isGone = true;
    await release();
    expect((await other).verdicts).to.deep.equal(["not-blacklisted"]);
  });

  it("begins no read when every check has been cancelled, and answers later ones", async () => {
    void check("first");
    const dropped = reasonOf(checks.check(jtis("a"), FRESH, { isGone: true }));
    await releaseAll();
    expect({ dropped: await dropped, asked: asked() }).to.deep.equal({
      dropped: "CANCELLED",
      asked: [["first"]],
    });
    void check("b");
    expect(asked()).to.deep.equal([["first"], ["b"]]);
  });

  it("leaves room for other callers than the one with the most checks", async () => {
    const by = (name: string) => ({ isGone: false, principal: { name, roles: new Set<never>() } });
    const first = check("first");
    const batch = jtis(...many("q", 1000));
    const outcomes: string[] = [];
    const queued = Array.from({ length: MAX_QUEUED_JTIS / batch.length }, () =>
      checks.check(batch, FRESH, by("greedy")).then(
        () => outcomes.push("answered"),
        (error: { reason: string }) => outcomes.push(error.reason),
      ),
    );
    const other = checks.check(batch, FRESH, by("other"));
    await releaseAll();
    await Promise.all([first, ...queued]);
    expect([
      outcomes.filter((one) => one === "answered").length,
      (await other).verdicts.length,
    ]).to.deep.equal([375, 1000]);
  });

  it("refuses checks above the maximum of the queue, and accepts them again once there is room", async () => {
    const first = check("first");
    const batch = many("q", 1000);
    const queued = Array.from({ length: MAX_QUEUED_JTIS / batch.length }, () => check(...batch));
    expect(await reasonOf(check("refused"))).to.equal("OVERLOADED");
    await release();
    const accepted = check("accepted");
    await releaseAll();
    await Promise.all([first, ...queued, accepted]);
    expect([
      asked()
        .flat()
        .includes("refused" as Jti),
      asked().at(-1),
    ]).to.deep.equal([false, ["accepted"]]);
  });

  it("fails all checks that shared a failed read, and reads again for the next", async () => {
    const first = reasonOf(check("a"));
    const next = check("b");
    await store.reads[0]?.fail(storeUnavailable("away"));
    await release();
    expect([await first, (await next).verdicts]).to.deep.equal(["STORE_UNAVAILABLE", ["not-blacklisted"]]);
  });

  describe("expiry", () => {
    const EXPIRES_AT = Date.UTC(2030, 5, 1);
    const END = EXPIRES_AT + LEEWAY;

    /** The verdict with each of the two clocks at the time given. */
    async function verdictAt({ service, database }: { service: number; database: number }): Promise<unknown> {
      use({ holding: false });
      blacklist("a", EXPIRES_AT);
      clock.jumpTo(service);
      store.skewMs = database - service;
      return (await check("a")).verdicts[0];
    }

    for (let step = -3; step <= 3; step++) {
      it(`has not passed at exp ${step < 0 ? "-" : "+"} ${Math.abs(step)} ms`, async () => {
        const now = EXPIRES_AT + step;
        expect(await verdictAt({ service: now, database: now })).to.equal("blacklisted");
      });
    }

    it("has passed at exp + leeway by both clocks, to the millisecond", async () => {
      const steps = [-3, -2, -1, 0, 1, 2, 3];
      const verdicts: unknown[] = [];
      for (const service of steps) {
        for (const database of steps) {
          verdicts.push(await verdictAt({ service: END + service, database: END + database }));
        }
      }
      const expected = steps.flatMap((service) =>
        steps.map((database) => (service >= 0 && database >= 0 ? "not-blacklisted" : "blacklisted")),
      );
      expect(verdicts).to.deep.equal(expected);
    });

    it("has not passed by one clock that is far ahead", async () => {
      const [before, after] = [END - 1, END + 86_400_000];
      expect([
        await verdictAt({ service: before, database: after }),
        await verdictAt({ service: after, database: before }),
      ]).to.deep.equal(["blacklisted", "blacklisted"]);
    });
  });

  describe("with a read-only database", () => {
    beforeEach(() => {
      use({ holding: false });
      store.writable = false;
      blacklist("a");
    });

    it("there are no negatives", async () => {
      expect(await reasonOf(check("b", "c"))).to.equal("NOT_FRESH");
    });

    it("positives are valid, and the rest of the batch is unknown", async () => {
      expect((await check("b", "a", "b")).verdicts).to.deep.equal(["unknown", "blacklisted", "unknown"]);
    });

    it("expired entries are no positives", async () => {
      blacklist("a", clock.now() - LEEWAY);
      expect(await reasonOf(check("a"))).to.equal("NOT_FRESH");
    });
  });

  describe("with a database that lacks an acknowledged commit of this replica", () => {
    const write = async (...texts: string[]) => {
      const { revision } = await store.write(
        texts.map((text) => newEntry(text)),
        { now: clock.now(), leewayMs: LEEWAY },
      );
      await acknowledged.add(revision);
    };

    beforeEach(async () => {
      use({ holding: false });
      store.commit(newEntry("kept"));
      await write("ours");
    });

    for (const [what, happens] of Object.entries({
      "at an older revision": () => {},
      "at the same number of another history": () => store.commit(newEntry("new")),
      "at a later revision of another history": () => {
        for (const name of ["new", "newer"]) store.commit(newEntry(name));
      },
    })) {
      it(`${what}: there are no negatives, and positives are valid`, async () => {
        const before = (await check("ours", "x")).verdicts;
        store.restore(1);
        happens();
        expect([
          before,
          await reasonOf(check("ours")),
          await reasonOf(check("x")),
          (await check("kept", "ours")).verdicts,
          await reasonOf(checks.databaseState()),
        ]).to.deep.equal([
          ["blacklisted", "not-blacklisted"],
          "NOT_FRESH",
          "NOT_FRESH",
          ["blacklisted", "unknown"],
          "NOT_FRESH",
        ]);
      });
    }

    it("there are no negatives even after another write and a look-up of this replica", async () => {
      await check("x");
      store.restore(1);
      store.commit(newEntry("new"));
      await write("ours too");
      expect([await reasonOf(check("x")), await reasonOf(check("x"))]).to.deep.equal([
        "NOT_FRESH",
        "NOT_FRESH",
      ]);
    });

    it("there are no negatives from a read that was in flight at the acknowledgement, nor from a later one", async () => {
      use({ holding: true });
      const early = check("ours");
      const { revision } = store;
      void acknowledged.add({ number: revision.number + 1, stamp: "0".repeat(16) });
      await release();
      const late = reasonOf(check("ours"));
      await release();
      expect({ early: (await early).verdicts, late: await late }).to.deep.equal({
        early: ["not-blacklisted"],
        late: "NOT_FRESH",
      });
    });

    it("there are negatives again once it has the commit", async () => {
      const backup = new Map(store.table);
      store.restore(1);
      const without = await reasonOf(check("x"));
      store.bringBack(2);
      for (const [text, entry] of backup) store.table.set(text, entry);
      expect([
        without,
        (await check("ours", "x")).verdicts,
        (await checks.databaseState()).revision.number,
      ]).to.deep.equal(["NOT_FRESH", ["blacklisted", "not-blacklisted"], 2]);
    });
  });

  describe("a check that names a revision", () => {
    const THERE: Revision = { number: 0, stamp: "0".repeat(16) };
    const AHEAD: Revision = { number: 1, stamp: "0".repeat(15).concat("1") };
    const STAMPED_OTHERWISE: Revision = { number: 0, stamp: "f".repeat(16) };
    const since = (revision: Revision, ...texts: string[]) =>
      checks.check(jtis(...texts), { kind: "at-least", revision }, HERE);

    beforeEach(() => {
      use({ holding: false });
      blacklist("a");
    });

    it("is answered when the database has it", async () => {
      expect((await since(THERE, "a", "b")).verdicts).to.deep.equal(["blacklisted", "not-blacklisted"]);
    });

    it("is answered when it is an older one", async () => {
      await store.write([newEntry("b")], { now: clock.now(), leewayMs: LEEWAY });
      expect((await since(THERE, "b")).verdicts).to.deep.equal(["blacklisted"]);
    });

    for (const [what, revision] of Object.entries({
      "is ahead of the database": AHEAD,
      "has another stamp": STAMPED_OTHERWISE,
    })) {
      it(`fails when the revision ${what}`, async () => {
        expect(await reasonOf(since(revision, "b"))).to.equal("REVISION_LOST");
      });

      it(`still returns positives when the revision ${what}`, async () => {
        expect((await since(revision, "a", "b")).verdicts).to.deep.equal(["blacklisted", "unknown"]);
      });
    }

    it("does not affect other checks that share its read", async () => {
      use({ holding: true });
      void check("first");
      const answers = [
        reasonOf(since(AHEAD, "x")),
        check("x"),
        since(THERE, "x"),
        reasonOf(since(STAMPED_OTHERWISE, "x")),
      ];
      await releaseAll();
      const [ahead, plain, there, other] = await Promise.all(answers);
      const answered = { verdicts: ["not-blacklisted"], revision: store.revision };
      expect([ahead, plain, there, other]).to.deep.equal([
        "REVISION_LOST",
        answered,
        answered,
        "REVISION_LOST",
      ]);
      expect(store.reads).to.have.length(2);
    });

    it("returns positives, and does not affect other checks, when the database becomes unavailable before the look-up of the revision", async () => {
      use({ holding: true });
      blacklist("a");
      store.missingFailure = storeUnavailable("away");
      void check("first");
      const answers = Promise.allSettled([since(AHEAD, "a", "b"), check("b"), reasonOf(since(AHEAD, "b"))]);
      await releaseAll();
      expect(await answers).to.deep.equal([
        { status: "fulfilled", value: { verdicts: ["blacklisted", "unknown"], revision: store.revision } },
        { status: "fulfilled", value: { verdicts: ["not-blacklisted"], revision: store.revision } },
        { status: "fulfilled", value: "STORE_UNAVAILABLE" },
      ]);
    });
  });

  it("answers a check with max_staleness as freshly as any other", async () => {
    const early = check("a");
    blacklist("a");
    const late = checks.check(jtis("a"), { kind: "max-staleness", ms: 3_600_000 }, HERE);
    await releaseAll();
    expect([(await early).verdicts, (await late).verdicts]).to.deep.equal([
      ["not-blacklisted"],
      ["blacklisted"],
    ]);
  });

  it("answers a batch as it would its jtis one by one, duplicates included", async () => {
    const known: fc.Arbitrary<string[]> = fc.uniqueArray(
      fc.constantFrom("a", "b", "c", "A", "a ", "é", "e\u0301"),
    );
    const batch = fc.array(fc.constantFrom("a", "b", "c", "A", "a ", "é", "e\u0301", "ａ"), {
      minLength: 1,
      maxLength: 30,
    });
    await fc.assert(
      fc.asyncProperty(known, batch, async (blacklisted, texts) => {
        use({ holding: false });
        for (const text of blacklisted) blacklist(text);
        const together = (await check(...texts)).verdicts;
        const single = await Promise.all(texts.map(async (text) => (await check(text)).verdicts[0]));
        expect([together, single]).to.deep.equal([
          single,
          texts.map((text) => (blacklisted.includes(text) ? "blacklisted" : "not-blacklisted")),
        ]);
      }),
    );
  });
});
