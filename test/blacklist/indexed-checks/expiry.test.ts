import { expect } from "chai";
import type { EpochMs } from "../../../src/entry.ts";
import { HOUR, LEEWAY } from "../../support/follower-stage.ts";
import { IndexedChecksStage, verdictsOf } from "../../support/indexed-checks-stage.ts";
import { newEntry } from "../../support/new-entry.ts";

describe("IndexedChecks expiry", () => {
  let stage: IndexedChecksStage;

  beforeEach(() => {
    stage = new IndexedChecksStage();
  });

  const EXPIRES_AT = Date.UTC(2030, 5, 1);
  const END = EXPIRES_AT + LEEWAY;

  /** The verdict with each of the two clocks at the time given, as far as the index learns it. */
  async function verdictAt({ service, database }: { service: number; database: number }): Promise<unknown> {
    stage = new IndexedChecksStage();
    stage.store.commit(newEntry("a", { expiresAt: EXPIRES_AT as EpochMs }));
    await stage.load();
    stage.clock.jumpTo(service);
    stage.store.skewMs = database - service;
    stage.store.holding = false;
    // The answer to another check has the database's clock.
    await stage.check("x");
    const [verdict] = await verdictsOf(stage.check("a"));
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
    stage.store.commit(newEntry("a", { expiresAt: EXPIRES_AT as EpochMs }));
    await stage.load();
    stage.clock.advance(END - stage.clock.now());
    // Blacklisted again by another replica, with a later expiry.
    stage.store.commit(newEntry("a"));
    const answer = verdictsOf(stage.check("a"));
    await stage.release();
    expect(await answer).to.deep.equal(["blacklisted"]);
  });
});
