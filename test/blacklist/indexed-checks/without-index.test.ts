import { expect } from "chai";
import { LOAD_RETRY_MS } from "../../../src/blacklist/follower.ts";
import { INDEX_RETRY_MS } from "../../../src/limits.ts";
import { settle } from "../../support/follower-stage.ts";
import { IndexedChecksStage, many, verdictsOf, within } from "../../support/indexed-checks-stage.ts";
import { newEntries, newEntry } from "../../support/new-entry.ts";
import { reasonOf } from "../../support/rejection.ts";

describe("IndexedChecks without an index", () => {
  let stage: IndexedChecksStage;

  beforeEach(() => {
    stage = new IndexedChecksStage();
  });

  it("checks look up the database, and the index once it is loaded", async () => {
    stage.store.commit(newEntry("a"));
    const before = stage.check("a", "x");
    stage.follower.start();
    await settle();
    const loading = stage.check("a", "x");
    await settle();
    expect([stage.begun().fallback, stage.store.reads.map(({ input }) => input)]).to.deep.equal([
      1,
      [["a", "x"]],
    ]);
    await stage.releaseAll();
    expect([stage.follower.phase, await verdictsOf(before), await verdictsOf(loading)]).to.deep.equal([
      "following",
      ["blacklisted", "not-blacklisted"],
      ["blacklisted", "not-blacklisted"],
    ]);
    const reads = stage.begun().fallback;
    const loaded = verdictsOf(stage.check("a", "x"));
    await stage.release();
    expect([await loaded, stage.begun().fallback]).to.deep.equal([["blacklisted", "not-blacklisted"], reads]);
  });

  it("checks do not use the part that is loaded", async () => {
    stage.store.page = 2;
    stage.store.commit(...newEntries("a", 5));
    stage.follower.start();
    await stage.release();
    await stage.store.scans[0]?.release();
    await settle();
    const answers = [stage.check("a-4"), stage.ask(within(1e12), "a-4"), stage.check("a-0")];
    await settle();
    await stage.store.reads[0]?.release();
    await settle();
    await stage.store.reads[1]?.release();
    expect([stage.follower.phase, stage.follower.entries.size, await Promise.all(answers)]).to.deep.equal([
      "loading",
      2,
      Array(3).fill({ verdicts: ["blacklisted"], revision: stage.store.revision }),
    ]);
  });

  it("checks look up the database while loading keeps failing", async () => {
    stage.follower.start();
    await stage.fail();
    stage.store.commit(newEntry("a"));
    const answer = verdictsOf(stage.check("a", "x"));
    await stage.release(stage.store.reads);
    stage.clock.advance(LOAD_RETRY_MS);
    await stage.fail();
    const later = reasonOf(stage.check("x"));
    await stage.fail(stage.store.reads);
    expect([await answer, await later]).to.deep.equal([
      ["blacklisted", "not-blacklisted"],
      "STORE_UNAVAILABLE",
    ]);
  });

  it("checks look up the database while there are too many entries for the index", async () => {
    stage = new IndexedChecksStage({ maxEntries: 1 });
    stage.store.commit(newEntry("a"), newEntry("b"));
    await stage.load();
    const full = verdictsOf(stage.check("b", "x"));
    await stage.release(stage.store.reads);
    stage.store.table.delete("a");
    stage.clock.advance(INDEX_RETRY_MS);
    await settle();
    const loading = verdictsOf(stage.check("b", "x"));
    await stage.release(stage.store.reads);
    await stage.releaseAll();
    const loaded = verdictsOf(stage.check("b", "x"));
    await stage.release();
    expect([await full, await loading, await loaded, stage.begun().fallback]).to.deep.equal([
      ...Array(3).fill(["blacklisted", "not-blacklisted"]),
      2,
    ]);
  });

  it("checks do not read an index that was emptied before their answer's turn", async () => {
    stage = new IndexedChecksStage({ maxEntries: 1 });
    stage.store.commit(newEntry("a"));
    await stage.load();
    stage.store.commit(newEntry("b"));
    // More answers than fit one turn, and the rows that fill the index come with the same read.
    const answers = Array.from({ length: 30 }, (_, index) => stage.check(...many(`${index}`, 998), "a", "b"));
    await stage.release();
    await stage.releaseAll();
    const verdicts = (await Promise.all(answers)).map((answer) => answer.verdicts);
    expect([stage.follower.phase, stage.begun().fallback > 0]).to.deep.equal(["overflowed", true]);
    expect(verdicts).to.deep.equal(
      Array(30).fill([...Array(998).fill("not-blacklisted"), "blacklisted", "blacklisted"]),
    );
  });

  it("checks that waited for the next read look up the database when the index overflows", async () => {
    stage = new IndexedChecksStage({ maxEntries: 1 });
    stage.store.commit(newEntry("a"));
    await stage.load();
    const early = stage.check("x");
    await settle();
    const late = stage.check("a", "y");
    stage.store.commit(newEntry("b"));
    await stage.release();
    const noticed = stage.check("x", "a", "b");
    await stage.releaseAll();
    const last = stage.check("b", "y");
    await stage.releaseAll();
    expect(await Promise.all([early, late, noticed, last].map(verdictsOf))).to.deep.equal([
      ["not-blacklisted"],
      ["blacklisted", "not-blacklisted"],
      ["not-blacklisted", "blacklisted", "blacklisted"],
      ["blacklisted", "not-blacklisted"],
    ]);
  });
});
