import { expect } from "chai";
import { PRUNE_CALL_MS, PRUNE_PAUSE_RATIO, prunePause } from "../../src/blacklist/prune-pace.ts";
import { FakeClock } from "../support/fake-clock.ts";

describe("the pause of a Prune call", () => {
  let clock: FakeClock;
  let checks: number;
  let pause: () => Promise<boolean>;

  beforeEach(() => {
    clock = new FakeClock();
    checks = 7;
    pause = prunePause(clock, () => checks);
  });

  it("does not pause without checks", async () => {
    clock.advance(10);
    expect(await pause()).to.equal(true);
  });

  it("leaves checks more time than the chunk has taken, and measures each chunk separately", async () => {
    for (const took of [10, 4]) {
      clock.advance(took);
      checks++;
      let rested = false;
      const rest = pause().then((goOn) => {
        rested = true;
        return goOn;
      });
      clock.advance(took * PRUNE_PAUSE_RATIO - 1);
      await Promise.resolve();
      expect({ rested, pendingTimers: clock.pendingTimers }).to.deep.equal({
        rested: false,
        pendingTimers: 1,
      });
      clock.advance(1);
      expect(await rest).to.equal(true);
    }
  });

  it("pauses for checks during the last chunk, not during earlier ones", async () => {
    checks++;
    const first = pause();
    clock.advance(0);
    await first;
    clock.advance(10);
    expect(await pause()).to.equal(true);
    expect(clock.pendingTimers).to.equal(0);
  });

  it("ends the call after its maximum duration", async () => {
    clock.advance(PRUNE_CALL_MS - 1);
    expect(await pause()).to.equal(true);
    clock.advance(1);
    expect(await pause()).to.equal(false);
  });
});
