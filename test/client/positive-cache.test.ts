import { expect } from "chai";
import { PositiveCache } from "../../src/client/positive-cache.ts";
import { FakeClock } from "../support/fake-clock.ts";

describe("remembered positives", () => {
  it("last a minute if the token's expiry is unknown, by a monotonic clock", () => {
    const clock = new FakeClock();
    const positives = new PositiveCache({ clock });
    positives.add("a");
    clock.jumpTo(clock.now() + 3_600_000);
    const seen = [positives.has("a")];
    clock.advance(59_999);
    seen.push(positives.has("a"));
    clock.advance(1);
    seen.push(positives.has("a"), positives.has("b"));
    expect(seen).to.deep.equal([true, true, false, false]);
  });

  it("last until the token's own expiry if it is known, and not past it", () => {
    const clock = new FakeClock();
    const positives = new PositiveCache({ clock });
    positives.add("a", clock.now() + 3_600_000);
    positives.add("b", clock.now() + 5);
    positives.add("c", clock.now());
    clock.advance(5);
    const soon = ["a", "b", "c"].map((jti) => positives.has(jti));
    clock.advance(3_599_995);
    expect({ soon, later: positives.has("a") }).to.deep.equal({ soon: [true, false, false], later: false });
  });

  it("are not removed earlier because they were found again", () => {
    const clock = new FakeClock();
    const positives = new PositiveCache({ clock });
    positives.add("a", clock.now() + 3_600_000);
    positives.add("a");
    clock.advance(60_000);
    expect(positives.has("a")).to.equal(true);
  });

  it("are bounded: the oldest is removed first", () => {
    const positives = new PositiveCache({ clock: new FakeClock(), maxTokens: 8 });
    const names = Array.from({ length: 30 }, (_, index) => `jti-${index}`);
    const kept = names.map((jti) => {
      positives.add(jti);
      return names.filter((one) => positives.has(one)).length;
    });
    expect([Math.max(...kept), names.filter((jti) => positives.has(jti))]).to.deep.equal([
      8,
      names.slice(-8),
    ]);
  });

  it("take no longer to add when there are many", () => {
    const positives = new PositiveCache({ clock: new FakeClock(), maxTokens: 20_000 });
    const timed = (from: number) => {
      const began = performance.now();
      for (let index = from; index < from + 10_000; index++) positives.add(`jti-${index}`);
      return performance.now() - began;
    };
    timed(0);
    const few = Math.min(timed(10_000), timed(20_000), timed(30_000));
    for (let round = 4; round < 20; round++) timed(round * 10_000);
    // A Map that is searched for its oldest entry took fifty times as long.
    expect(Math.min(timed(200_000), timed(210_000), timed(220_000))).to.be.below(20 * few + 5);
  });
});
