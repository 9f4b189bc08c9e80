import { expect } from "chai";
import { RememberedPositives } from "../../src/client/remembered-positives.ts";
import { FakeClock } from "../support/fake-clock.ts";

describe("remembered positives", () => {
  it("last a minute where the token's expiry is not known, by a clock that nobody sets", () => {
    const clock = new FakeClock();
    const positives = new RememberedPositives({ clock });
    positives.add("a");
    clock.jumpTo(clock.now() + 3_600_000);
    const seen = [positives.has("a")];
    clock.advance(59_999);
    seen.push(positives.has("a"));
    clock.advance(1);
    seen.push(positives.has("a"), positives.has("b"));
    expect(seen).to.deep.equal([true, true, false, false]);
  });

  it("last until the token's own expiry where that is known, and not at all past it", () => {
    const clock = new FakeClock();
    const positives = new RememberedPositives({ clock });
    positives.add("a", clock.now() + 3_600_000);
    positives.add("b", clock.now() + 5);
    positives.add("c", clock.now());
    clock.advance(5);
    const soon = ["a", "b", "c"].map((jti) => positives.has(jti));
    clock.advance(3_599_995);
    expect([soon, positives.has("a")]).to.deep.equal([[true, false, false], false]);
  });

  it("are not forgotten earlier because they were found again", () => {
    const clock = new FakeClock();
    const positives = new RememberedPositives({ clock });
    positives.add("a", clock.now() + 3_600_000);
    positives.add("a");
    clock.advance(60_000);
    expect(positives.has("a")).to.equal(true);
  });

  it("are bounded: the oldest is forgotten first", () => {
    const positives = new RememberedPositives({ clock: new FakeClock(), max: 3 });
    for (const jti of ["a", "b", "c", "a", "d"]) positives.add(jti);
    expect(["a", "b", "c", "d"].filter((jti) => positives.has(jti))).to.deep.equal(["a", "c", "d"]);
  });
});
