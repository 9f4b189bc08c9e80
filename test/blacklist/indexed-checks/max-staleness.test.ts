import { expect } from "chai";
import { HOUR, settle } from "../../support/follower-stage.ts";
import { FRESH, IndexedChecksStage, verdictsOf, within } from "../../support/indexed-checks-stage.ts";
import { newEntry } from "../../support/new-entry.ts";
import { reasonOf } from "../../support/rejection.ts";

describe("IndexedChecks max_staleness", () => {
  let stage: IndexedChecksStage;

  beforeEach(async () => {
    stage = new IndexedChecksStage();
    stage.store.commit(newEntry("a"));
    await stage.load();
  });

  it("is answered without a read while the index is as fresh, to the millisecond", async () => {
    stage.store.commit(newEntry("new"));
    stage.clock.advance(100);
    const fresh = await verdictsOf(stage.ask(within(100), "new", "a"));
    const before = stage.begun().index;
    const staler = verdictsOf(stage.ask(within(99), "new", "a"));
    await stage.release();
    expect([fresh, before, await staler, stage.begun()]).to.deep.equal([
      ["not-blacklisted", "blacklisted"],
      0,
      ["blacklisted", "blacklisted"],
      { index: 1, fallback: 0 },
    ]);
  });

  it("counts from the time when the last read was sent", async () => {
    const first = stage.check("x");
    await settle();
    stage.store.commit(newEntry("new"));
    stage.clock.advance(100);
    await stage.release();
    await first;
    const answer = verdictsOf(stage.ask(within(99), "new"));
    await stage.release();
    expect(await answer).to.deep.equal(["blacklisted"]);
  });

  it("counts by the clock that shows more", async () => {
    stage.store.commit(newEntry("new"));
    const [start, answers] = [stage.clock.now(), []] as [number, Promise<readonly string[]>[]];
    // The wall clock is set back an hour; the monotonic clock continues.
    stage.clock.advance(1000);
    stage.clock.jumpTo(start - HOUR);
    answers.push(verdictsOf(stage.ask(within(999), "new")));
    await stage.release();
    // The monotonic clock stood still during a suspension.
    stage.clock.jumpTo(start + HOUR);
    stage.store.commit(newEntry("newer"));
    answers.push(verdictsOf(stage.ask(within(HOUR - 1), "newer")));
    await stage.release();
    expect(await Promise.all(answers)).to.deep.equal([["blacklisted"], ["blacklisted"]]);
  });

  it("of zero is as fresh as an unspecified one", async () => {
    for (const freshness of [FRESH, within(0)]) {
      const name = `new ${freshness.kind}`;
      // No millisecond has passed since the last proof.
      stage.store.commit(newEntry(name));
      const answer = verdictsOf(stage.ask(freshness, name));
      await stage.release();
      expect(await answer, freshness.kind).to.deep.equal(["blacklisted"]);
    }
  });

  it("allows negatives while the database is unavailable, until the index is too stale", async () => {
    const linearizable = reasonOf(stage.check("x"));
    await stage.fail();
    stage.clock.advance(60_000);
    const atTheEnd = await verdictsOf(stage.ask(within(60_000), "x", "a"));
    stage.clock.advance(1);
    const tooLate = [
      reasonOf(stage.ask(within(60_000), "x")),
      verdictsOf(stage.ask(within(60_000), "x", "a")),
    ];
    await stage.fail();
    expect([await linearizable, atTheEnd, ...(await Promise.all(tooLate))]).to.deep.equal([
      "STORE_UNAVAILABLE",
      ["not-blacklisted", "blacklisted"],
      "STORE_UNAVAILABLE",
      ["unknown", "blacklisted"],
    ]);
  });

  it("of any length gives no negatives by an index without a proof or during a rebuild", async () => {
    stage.store.restore(0);
    const noticed = reasonOf(stage.check("x"));
    await stage.release();
    expect([await noticed, await reasonOf(stage.ask(within(1e12), "x"))]).to.deep.equal([
      "NOT_FRESH",
      "NOT_FRESH",
    ]);
    await stage.releaseAll();
    const rebuilt = verdictsOf(stage.ask(within(1e12), "x"));
    await settle();
    expect(stage.begun().index).to.be.at.least(4);
    await stage.release();
    expect(await rebuilt).to.deep.equal(["not-blacklisted"]);
  });
});
