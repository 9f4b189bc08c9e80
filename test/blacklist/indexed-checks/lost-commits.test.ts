import { expect } from "chai";
import { LOAD_RETRY_MS } from "../../../src/blacklist/follower.ts";
import { formatRevision, parseRevision } from "../../../src/revision.ts";
import { settle } from "../../support/follower-stage.ts";
import { IndexedChecksStage, verdictsOf, within } from "../../support/indexed-checks-stage.ts";
import { newEntry } from "../../support/new-entry.ts";
import { reasonOf } from "../../support/rejection.ts";

describe("IndexedChecks while the database has lost commits", () => {
  let stage: IndexedChecksStage;

  beforeEach(async () => {
    stage = new IndexedChecksStage();
    stage.store.commit(newEntry("kept"));
    stage.store.commit(newEntry("lost"));
  });

  it("gives no negatives until the index holds both histories, and forgets nothing", async () => {
    await stage.load();
    stage.store.restore(1);
    stage.store.commit(newEntry("new"));
    const noticed = [reasonOf(stage.check("x")), verdictsOf(stage.check("x", "lost"))];
    await stage.release();
    const during = [
      reasonOf(stage.check("x")),
      verdictsOf(stage.check("x", "lost")),
      verdictsOf(stage.check("lost")),
    ];
    expect([await Promise.all(noticed), await Promise.all(during), stage.begun().fallback]).to.deep.equal([
      ["NOT_FRESH", ["unknown", "blacklisted"]],
      ["NOT_FRESH", ["unknown", "blacklisted"], ["blacklisted"]],
      0,
    ]);
    await stage.releaseAll();
    const after = stage.check("kept", "lost", "new", "x");
    await stage.release();
    expect(await after).to.deep.equal({
      verdicts: ["blacklisted", "blacklisted", "blacklisted", "not-blacklisted"],
      revision: stage.store.revision,
    });
  });

  it("gives no negatives either if they were lost while the index was loaded", async () => {
    stage.follower.start();
    await stage.release();
    stage.store.restore(1);
    await stage.store.scans[0]?.release();
    await stage.release();
    const during = [
      reasonOf(stage.check("x")),
      verdictsOf(stage.check("x", "lost")),
      reasonOf(stage.ask(within(1e12), "x")),
    ];
    expect([stage.follower.phase, await Promise.all(during), stage.begun().fallback]).to.deep.equal([
      "rebuilding",
      ["NOT_FRESH", ["unknown", "blacklisted"], "NOT_FRESH"],
      0,
    ]);
    stage.clock.advance(LOAD_RETRY_MS);
    await settle();
    await stage.releaseAll();
    const after = verdictsOf(stage.check("lost", "x"));
    await stage.release();
    expect(await after).to.deep.equal(["blacklisted", "not-blacklisted"]);
  });

  it("returns only revisions that it would accept", async () => {
    stage.follower.start();
    await stage.release();
    stage.store.restore(1);
    await stage.store.scans[0]?.release();
    await stage.release();
    const { revision } = await stage.check("lost");
    expect(parseRevision(formatRevision(revision)), formatRevision(revision)).not.to.equal(undefined);
  });
});
