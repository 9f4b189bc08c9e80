import { expect } from "chai";
import { FairTurns } from "../../src/admission/fair-turns.ts";

describe("FairTurns", () => {
  const caller = (name: string) => ({ isGone: false, principal: { name } });
  const eventLoop = () => new Promise<void>((resolve) => setImmediate(resolve));

  it("leave a part to other callers, however many jobs one has", async () => {
    const turns = new FairTurns({ maxInProgress: 3, maxPerCaller: 2 });
    const begun: string[] = [];
    const ends: (() => void)[] = [];
    const run = (name: string) =>
      turns.run(caller(name), () => {
        begun.push(name);
        return new Promise<void>((resolve) => ends.push(resolve));
      });
    const all = [run("a"), run("a"), run("a"), run("a")];
    for (let times = 0; times < 10; times++) await eventLoop();
    expect(begun).to.deep.equal(["a", "a"]);
    all.push(run("b"), run("b"));
    for (let times = 0; times < 10; times++) await eventLoop();
    expect(begun).to.deep.equal(["a", "a", "b"]);
    while (ends.length > 0) {
      ends.shift()?.();
      for (let times = 0; times < 5; times++) await eventLoop();
    }
    await Promise.all(all);
    expect(begun).to.have.length(6);
  });

  it("are not limited further for callers without a name, who may be many", async () => {
    const turns = new FairTurns({ maxInProgress: 3, maxPerCaller: 2 });
    const ends: (() => void)[] = [];
    const all = Array.from({ length: 4 }, () =>
      turns.run(caller(""), () => new Promise<void>((resolve) => ends.push(resolve))),
    );
    for (let times = 0; times < 10; times++) await eventLoop();
    expect(ends).to.have.length(3);
    while (ends.length > 0) {
      ends.shift()?.();
      for (let times = 0; times < 5; times++) await eventLoop();
    }
    await Promise.all(all);
  });
});
