import { expect } from "chai";
import type { Freshness } from "../../../src/blacklist/check-service.ts";
import { FAILED_READ_PAUSE_MS } from "../../../src/blacklist/follower.ts";
import type { Role } from "../../../src/caller.ts";
import type { Jti } from "../../../src/entry.ts";
import type { Revision } from "../../../src/revision.ts";
import { settle } from "../../support/follower-stage.ts";
import { FRESH, IndexedChecksStage, jtis, verdictsOf } from "../../support/indexed-checks-stage.ts";
import { newEntry } from "../../support/new-entry.ts";
import { reasonOf } from "../../support/rejection.ts";

describe("IndexedChecks a caller whose own token can be blacklisted", () => {
  let stage: IndexedChecksStage;

  beforeEach(async () => {
    stage = new IndexedChecksStage();
    before = stage.store.revision;
    stage.store.commit(newEntry("a"));
    await stage.load();
  });

  const caller = {
    isGone: false,
    principal: { name: "gateway", roles: new Set<Role>(), token: "own" as Jti },
  };
  const asCaller = async (freshness: Freshness, ...texts: string[]) =>
    stage.checks.check(jtis(...texts), freshness, caller);
  let before: Revision;

  it("is answered like others while it is not", async () => {
    const answer = asCaller(FRESH, "a", "x");
    await stage.releaseAll();
    expect(await verdictsOf(answer)).to.deep.equal(["blacklisted", "not-blacklisted"]);
  });

  it("is refused by the proof that it is blacklisted, even if all verdicts are already known", async () => {
    stage.store.commit(newEntry("own"));
    const answers = [reasonOf(asCaller(FRESH, "a")), reasonOf(asCaller(FRESH, "x"))];
    await stage.releaseAll();
    expect(await Promise.all(answers)).to.deep.equal(["UNAUTHENTICATED", "UNAUTHENTICATED"]);
    expect(stage.begun()).to.deep.equal({ index: 1, fallback: 0 });
  });

  it("is refused by the database's answer too, if a revision is looked up, for any other verdicts", async () => {
    const since = { kind: "at-least", revision: before } as const;
    const answer = reasonOf(asCaller(since, "a", "x"));
    await settle();
    // The proof is older than this.
    stage.store.commit(newEntry("own"));
    await stage.release();
    const asked = stage.begun();
    await stage.release(stage.store.reads);
    expect([await answer, asked]).to.deep.equal(["UNAUTHENTICATED", { index: 1, fallback: 1 }]);
  });

  it("is refused while the database is unavailable if its token is in the index, and receives positives if it is not", async () => {
    const unknown = verdictsOf(asCaller(FRESH, "a", "x"));
    await stage.fail();
    expect(await unknown).to.deep.equal(["blacklisted", "unknown"]);
    stage.store.commit(newEntry("own"));
    stage.clock.advance(FAILED_READ_PAUSE_MS);
    const proven = reasonOf(asCaller(FRESH, "a"));
    await stage.releaseAll();
    await proven;
    const refused = reasonOf(asCaller(FRESH, "a", "x"));
    await stage.fail();
    expect(await refused).to.equal("UNAUTHENTICATED");
  });
});
