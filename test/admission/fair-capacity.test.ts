import { expect } from "chai";
import fc from "fast-check";
import { FairCapacity, type Share } from "../../src/admission/fair-capacity.ts";

describe("FairCapacity", () => {
  /** Takes places one by one until none is left. */
  function fill(room: FairCapacity, name: string, size = 1): Share[] {
    const parts: Share[] = [];
    for (;;) {
      const part = room.take(name, size);
      if (part === undefined) return parts;
      parts.push(part);
    }
  }

  it("gives one principal at most three quarters, and keeps the rest for others", () => {
    const room = new FairCapacity(1000);
    expect(["greedy", "second", "third"].map((name) => fill(room, name).length)).to.deep.equal([
      750, 125, 62,
    ]);
    expect(room.take("newcomer")).to.equal("own");
  });

  it("gives everything to callers that are not distinguished", () => {
    const room = new FairCapacity(1000);
    expect([fill(room, "").length, room.enter()]).to.deep.equal([1000, false]);
  });

  it("reuses capacity that was given back", () => {
    const room = new FairCapacity(100);
    const parts = fill(room, "greedy");
    expect(room.take("greedy")).to.equal(undefined);
    for (const part of parts) room.giveBack(part, "greedy");
    expect([room.taken, fill(room, "greedy").length]).to.deep.equal([0, 75]);
  });

  it("counts by size", () => {
    const room = new FairCapacity(1000);
    expect([
      fill(room, "greedy", 100).length,
      room.take("other", 200),
      room.take("other", 100),
    ]).to.deep.equal([7, undefined, "own"]);
  });

  it("never exceeds its capacity, nor gives the last place to a principal that has others", () => {
    const step = fc.record({ name: fc.constantFrom("a", "b", "c"), gives: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
        const room = new FairCapacity(40);
        const held: Record<string, Share[]> = { a: [], b: [], c: [] };
        for (const { name, gives } of steps) {
          const parts = held[name] as Share[];
          if (!gives) {
            const part = room.take(name);
            if (part !== undefined) parts.push(part);
          } else {
            const part = parts.pop();
            if (part !== undefined) room.giveBack(part, name);
          }
          expect(room.taken).to.equal(Object.values(held).flat().length);
          expect(room.taken).to.be.at.most(39);
        }
      }),
    );
  });
});
