import { expect } from "chai";
import { FAILED_READ_PAUSE_MS } from "../../../src/blacklist/follower.ts";
import type { Revision } from "../../../src/revision.ts";
import { IndexedChecksStage, verdictsOf } from "../../support/indexed-checks-stage.ts";
import { newEntry } from "../../support/new-entry.ts";
import { reasonOf } from "../../support/rejection.ts";

describe("IndexedChecks at_least_revision", () => {
  let stage: IndexedChecksStage;

  beforeEach(async () => {
    stage = new IndexedChecksStage();
    stage.store.commit(newEntry("a"));
    older = stage.store.revision;
    stage.store.commit(newEntry("b"));
    loaded = stage.store.revision;
    await stage.load();
  });

  let older: Revision;
  let loaded: Revision;
  const since = (revision: Revision, ...texts: string[]) =>
    stage.ask({ kind: "at-least", revision }, ...texts);
  const stampedOtherwise = () => ({ ...loaded, stamp: "f".repeat(16) });
  const ahead = () => ({ ...loaded, number: loaded.number + 1 });

  it("is answered at once if the revision was read here", async () => {
    expect([await since(loaded, "x", "a"), stage.begun()]).to.deep.equal([
      { verdicts: ["not-blacklisted", "blacklisted"], revision: loaded },
      { index: 0, fallback: 0 },
    ]);
  });

  it("is answered by the proof alone if its read had the revision", async () => {
    stage.store.commit(newEntry("new"));
    const answer = verdictsOf(since(stage.store.revision, "new", "x"));
    await stage.releaseAll();
    expect([await answer, stage.begun()]).to.deep.equal([
      ["blacklisted", "not-blacklisted"],
      { index: 1, fallback: 0 },
    ]);
  });

  it("is looked up in the database if no read had it, and answered once the index is proven up to it", async () => {
    const answer = since(older, "x", "a", "new");
    await stage.release();
    const lookedUp = stage.begun();
    stage.store.commit(newEntry("new"));
    await stage.release(stage.store.reads);
    const provenAgain = stage.begun();
    await stage.release();
    expect([await answer, lookedUp, provenAgain]).to.deep.equal([
      { verdicts: ["not-blacklisted", "blacklisted", "blacklisted"], revision: stage.store.revision },
      { index: 1, fallback: 1 },
      { index: 2, fallback: 1 },
    ]);
  });

  it("is not answered by an index whose history is lost after the revision was found", async () => {
    const answers = [reasonOf(since(older, "x")), verdictsOf(since(older, "x", "b"))];
    await stage.release();
    stage.store.restore(1);
    await stage.release(stage.store.reads);
    await stage.release(stage.store.reads);
    await stage.release();
    expect(await Promise.all(answers)).to.deep.equal(["NOT_FRESH", ["unknown", "blacklisted"]]);
  });

  it("is left to the database if the index overflows while the revision is looked up", async () => {
    stage = new IndexedChecksStage({ maxEntries: 2 });
    stage.store.commit(newEntry("a"));
    const first = stage.store.revision;
    stage.store.commit(newEntry("b"));
    await stage.load();
    const answer = verdictsOf(since(first, "a", "c", "x"));
    await stage.release();
    stage.store.commit(newEntry("c"));
    const other = verdictsOf(stage.check("c"));
    await stage.release();
    expect(stage.follower.phase).to.equal("overflowed");
    await stage.releaseAll();
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
      await stage.releaseAll();
      expect(await Promise.all(answers)).to.deep.equal(["REVISION_LOST", ["unknown", "blacklisted"]]);
    });

    it(`returns positives at once when the revision ${what}`, async () => {
      expect([await verdictsOf(since(revision(), "a", "b")), stage.begun().fallback]).to.deep.equal([
        ["blacklisted", "blacklisted"],
        0,
      ]);
    });
  }

  const STEPS: Record<string, () => Promise<void>> = {
    "before it is looked up": async () => {
      await stage.fail();
    },
    "while it is looked up": async () => {
      await stage.release();
      await stage.fail(stage.store.reads);
      await stage.fail(stage.store.reads);
    },
    "after it was found": async () => {
      await stage.release();
      await stage.release(stage.store.reads);
      await stage.release(stage.store.reads);
      await stage.fail();
      stage.clock.advance(FAILED_READ_PAUSE_MS);
      await stage.fail();
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
    const first = reasonOf(stage.check("x"));
    await stage.fail();
    expect([await first, await verdictsOf(since(loaded, "x"))]).to.deep.equal([
      "STORE_UNAVAILABLE",
      ["not-blacklisted"],
    ]);
  });

  it("of a lost history is refused before, during and after a rebuild of the index", async () => {
    stage.store.restore(1);
    const noticed = reasonOf(stage.check("x"));
    await stage.release();
    const during = [await reasonOf(since(loaded, "x")), await verdictsOf(since(loaded, "x", "b"))];
    await stage.releaseAll();
    const after = [reasonOf(since(loaded, "x")), verdictsOf(since(loaded, "x", "b"))];
    await stage.releaseAll();
    expect([await noticed, during, await Promise.all(after)]).to.deep.equal([
      "NOT_FRESH",
      ["NOT_FRESH", ["unknown", "blacklisted"]],
      ["REVISION_LOST", ["unknown", "blacklisted"]],
    ]);
  });

  describe("that falls back on a database which has lost a token of the index", () => {
    /** "b" is of the lost history alone; "c" is in the database. */
    async function arrive({ noticed }: { noticed: boolean }): Promise<void> {
      stage.store.restore(1);
      stage.store.commit(newEntry("c"));
      if (!noticed) return;
      const first = reasonOf(stage.check("x"));
      await stage.release();
      await first;
      await stage.releaseAll();
      expect(stage.follower.phase).to.equal("following");
    }

    for (const noticed of [false, true]) {
      const when = noticed ? "after the index was rebuilt" : "before the loss was noticed";

      it(`still returns the positive: ${when}`, async () => {
        await arrive({ noticed });
        const answer = verdictsOf(since(older, "b", "x"));
        await stage.releaseAll();
        expect((await answer)[0]).to.equal("blacklisted");
      });

      it(`still returns the positive when the check is otherwise unavailable: ${when}`, async () => {
        await arrive({ noticed });
        const answer = verdictsOf(since({ number: 99, stamp: "f".repeat(16) }, "b", "c", "x"));
        await stage.releaseAll();
        // "c" was never read here if the loss was not noticed.
        const inDatabase = noticed ? "blacklisted" : "unknown";
        expect(await answer).to.deep.equal(["blacklisted", inDatabase, "unknown"]);
      });
    }
  });
});
