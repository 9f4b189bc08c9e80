import { expect } from "chai";
import { FollowerStage, HOUR, settle } from "../../support/follower-stage.ts";
import { newEntries, newEntry } from "../../support/new-entry.ts";

describe("Follower", () => {
  let stage: FollowerStage;

  beforeEach(() => {
    stage = new FollowerStage();
  });

  describe("after it is stopped", () => {
    const states: Record<string, () => Promise<void>> = {
      "while it was loading": async () => {
        stage.follower.start();
        await settle();
      },
      "while a page was read": async () => {
        stage.store.commit(newEntry("a"));
        stage.follower.start();
        await settle();
        await stage.release();
      },
      "before it tried to load again": async () => {
        stage.follower.start();
        await settle();
        await stage.fail();
      },
      "while the index was too large": async () => {
        stage = new FollowerStage({ maxEntries: 1 });
        stage.store.commit(...newEntries("a", 2));
        await stage.load();
      },
      "while a read was in flight": async () => {
        await stage.load();
        stage.ask("first");
        await settle();
        stage.ask("second");
      },
      "while a read was planned": async () => {
        await stage.load();
        stage.ask("first");
      },
      "in the pause after a read that failed": async () => {
        await stage.load();
        stage.ask("first");
        await settle();
        stage.ask("second");
        await stage.fail();
      },
      "while it was rebuilding": async () => {
        stage.store.commit(newEntry("a"));
        await stage.load();
        stage.store.restore(0);
        await stage.prove("first");
      },
    };
    for (const [when, arrive] of Object.entries(states)) {
      it(`${when}: no read or timer is pending, and no request waits`, async () => {
        await arrive();
        const begun = stage.store.changes.length + stage.store.scans.length;
        const waiting = ["first", "second"].filter((name) => stage.told[name] === undefined);
        stage.follower.stop();
        await settle();
        expect([
          stage.clock.pendingTimers,
          stage.store.tails,
          stage.logged(/cannot be loaded/).length,
        ]).to.deep.equal([0, 0, when === "before it tried to load again" ? 1 : 0]);
        stage.ask("afterwards");
        stage.clock.advance(HOUR);
        await settle();
        expect(Object.keys(stage.told)).to.include.members([...waiting.filter(wasAsked(when)), "afterwards"]);
        expect(stage.told.afterwards).to.equal("STORE_UNAVAILABLE");
        expect([
          stage.store.changes.length + stage.store.scans.length,
          stage.clock.pendingTimers,
        ]).to.deep.equal([begun, 0]);
      });
    }
  });
});

/** Whether a request was made before the follower was stopped. */
function wasAsked(when: string): (name: string) => boolean {
  return (name) => {
    if (when === "while a read was planned") return name === "first";
    return when === "while a read was in flight" || when === "in the pause after a read that failed";
  };
}
