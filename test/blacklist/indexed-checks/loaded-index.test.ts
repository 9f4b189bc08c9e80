import { expect } from "chai";
import fc from "fast-check";
import { settle } from "../../support/follower-stage.ts";
import { FRESH, HERE, IndexedChecksStage, jtis, verdictsOf } from "../../support/indexed-checks-stage.ts";
import { newEntry } from "../../support/new-entry.ts";
import { reasonOf } from "../../support/rejection.ts";

describe("IndexedChecks with the index loaded", () => {
  let stage: IndexedChecksStage;

  beforeEach(async () => {
    stage = new IndexedChecksStage();
    stage.store.commit(newEntry("a"), newEntry("b"));
    await stage.load();
  });

  it("answers at once, without a read, if every jti is blacklisted", async () => {
    expect([stage.checks.check(jtis("b", "a", "b"), FRESH, HERE), stage.begun()]).to.deep.equal([
      { verdicts: Array(3).fill("blacklisted"), revision: stage.store.revision },
      { index: 0, fallback: 0 },
    ]);
  });

  it("answers all other checks in order, by one read for all, with the revision of that read", async () => {
    stage.store.commit(newEntry("new"));
    const answers = [stage.check("x", "a", "A", "new"), stage.check("x")];
    await stage.release();
    expect([await Promise.all(answers), stage.begun()]).to.deep.equal([
      [
        {
          verdicts: ["not-blacklisted", "blacklisted", "not-blacklisted", "blacklisted"],
          revision: stage.store.revision,
        },
        { verdicts: ["not-blacklisted"], revision: stage.store.revision },
      ],
      { index: 1, fallback: 0 },
    ]);
  });

  it("answers a check that arrives while a read is in flight from the next read only", async () => {
    const early = stage.check("new");
    await settle();
    stage.store.commit(newEntry("new"));
    const late = stage.check("new");
    await stage.release();
    await stage.release();
    expect([await verdictsOf(early), await verdictsOf(late), stage.begun().index]).to.deep.equal([
      ["not-blacklisted"],
      ["blacklisted"],
      2,
    ]);
  });

  it("gives no negatives by a failed read, and returns unknown beside positives", async () => {
    const alone = reasonOf(stage.check("x"));
    const beside = stage.check("x", "a", "y");
    await stage.fail();
    expect([await alone, await verdictsOf(beside)]).to.deep.equal([
      "STORE_UNAVAILABLE",
      ["unknown", "blacklisted", "unknown"],
    ]);
  });

  it("gives no negatives while the database is read-only, and gives them again afterwards", async () => {
    stage.store.commit(newEntry("c"));
    stage.store.writable = false;
    const during = [
      reasonOf(stage.check("x")),
      verdictsOf(stage.check("x", "a")),
      verdictsOf(stage.check("c", "x")),
    ];
    await stage.release();
    stage.store.writable = true;
    const after = verdictsOf(stage.check("x"));
    await stage.release();
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
        stage = new IndexedChecksStage();
        stage.store.commit(...blacklisted.map((text) => newEntry(text)));
        await stage.load();
        stage.store.holding = false;
        const together = await verdictsOf(stage.check(...batch));
        const single = await Promise.all(batch.map(async (text) => (await stage.check(text)).verdicts[0]));
        expect([together, single]).to.deep.equal([
          single,
          batch.map((text) => (blacklisted.includes(text) ? "blacklisted" : "not-blacklisted")),
        ]);
        stage.follower.stop();
      }),
      { numRuns: 50 },
    );
  });

  it("drops a check that is cancelled, and answers the others of its read", async () => {
    const caller = { isGone: false };
    const dropped = reasonOf(Promise.resolve(stage.checks.check(jtis("x"), FRESH, caller)));
    const kept = verdictsOf(stage.check("x"));
    await settle();
    caller.isGone = true;
    await stage.release();
    expect([await dropped, await kept, stage.begun()]).to.deep.equal([
      "CANCELLED",
      ["not-blacklisted"],
      { index: 1, fallback: 0 },
    ]);
  });
});
