import { expect } from "chai";
import { FAILED_READ_PAUSE_MS } from "../../../src/blacklist/follower.ts";
import type { ServiceError } from "../../../src/errors.ts";
import { MAX_QUEUED_JTIS } from "../../../src/limits.ts";
import {
  FRESH,
  HERE,
  IndexedChecksStage,
  jtis,
  many,
  verdictsOf,
} from "../../support/indexed-checks-stage.ts";
import { newEntry } from "../../support/new-entry.ts";
import { reasonOf } from "../../support/rejection.ts";

describe("IndexedChecks too many waiting checks", () => {
  let stage: IndexedChecksStage;

  beforeEach(async () => {
    stage = new IndexedChecksStage();
    stage.store.commit(newEntry("a"));
    await stage.load();
  });

  const batch = many("q", 1000);
  const fill = (caller = HERE) =>
    Array.from({ length: MAX_QUEUED_JTIS / batch.length }, async () => {
      try {
        await stage.checks.check(jtis(...batch), FRESH, caller);
        return "answered";
      } catch (error) {
        return (error as ServiceError).reason;
      }
    });

  it("leave room for other callers than the one with the most", async () => {
    const by = (name: string) => ({ ...HERE, principal: { name, roles: new Set<never>() } });
    const greedy = fill(by("greedy"));
    const other = stage.checks.check(jtis(...batch), FRESH, by("other"));
    await stage.release();
    const outcomes = await Promise.all(greedy);
    expect(outcomes.filter((one) => one === "answered")).to.have.length(375);
    expect(new Set(outcomes)).to.deep.equal(new Set(["answered", "OVERLOADED"]));
    expect((await other).verdicts).to.have.length(1000);
  });

  const ends: Record<string, { end: () => Promise<void>; told: string }> = {
    "a proof": { end: () => stage.release(), told: "answered" },
    "a failure": { end: () => stage.fail(), told: "STORE_UNAVAILABLE" },
  };
  for (const [what, { end, told }] of Object.entries(ends)) {
    it(`are refused, and there is room again after ${what}`, async () => {
      const queued = fill();
      expect(await reasonOf(stage.check("one too many"))).to.equal("OVERLOADED");
      expect(await verdictsOf(stage.check("a"))).to.deep.equal(["blacklisted"]);
      await end();
      expect(new Set(await Promise.all(queued))).to.deep.equal(new Set([told]));
      stage.clock.advance(FAILED_READ_PAUSE_MS);
      const again = fill();
      await stage.release();
      expect(new Set(await Promise.all(again))).to.deep.equal(new Set(["answered"]));
    });
  }

  it("leave room again when they are cancelled", async () => {
    const caller = { isGone: false };
    const queued = fill(caller);
    caller.isGone = true;
    await stage.release();
    expect(new Set(await Promise.all(queued))).to.deep.equal(new Set(["CANCELLED"]));
    const again = verdictsOf(stage.check("x"));
    await stage.release();
    expect(await again).to.deep.equal(["not-blacklisted"]);
  });
});
