import { expect } from "chai";
import { Segment } from "../../src/token-index/segment.ts";

/** Fingerprints that no random key would produce: all with one home slot, or at an end of the table. */
const print = (first: number, second: number, third = 0, fourth = 0) =>
  Int32Array.of(first, second, third, fourth);

function expiries(segment: Segment, prints: readonly Int32Array[]): number[] {
  return prints.map((one) => segment.expiryOf(one));
}

describe("a segment of the token index", () => {
  it("distinguishes fingerprints by every word, zeros and ones included", () => {
    const words = [0, 1, -1];
    const prints = [...words, 0x7fffffff, -0x80000000].flatMap((first) =>
      words.flatMap((second) =>
        words.flatMap((third) => words.map((fourth) => print(first, second, third, fourth))),
      ),
    );
    const segment = new Segment();
    const before = expiries(segment, prints);
    const after = prints.map((one, index) => segment.put(one, index + 1));
    expect({ before, after, size: segment.size, expiries: expiries(segment, prints) }).to.deep.equal({
      before: prints.map(() => 0),
      after: prints.map(() => true),
      size: 135,
      expiries: prints.map((_, index) => index + 1),
    });
  });

  it("keeps expiries exactly, from the first millisecond to the last of the year 9999", () => {
    const times = [1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 1, 1_767_225_600_000, 253_402_300_799_999];
    const segment = new Segment();
    const found = times.map((time) => {
      segment.put(print(5, 5), time);
      return segment.expiryOf(print(5, 5));
    });
    expect(found).to.deep.equal(times);
  });

  it("reports that it is full, and keeps its entries, when too many belong at its very end", () => {
    const segment = new Segment();
    const prints = Array.from({ length: 200 }, (_, index) => print(-1, index));
    const fitting = prints.filter((one, index) => segment.put(one, index + 1));
    expect(fitting.length).to.be.greaterThan(60).and.lessThan(66);
    expect(prints.slice(0, fitting.length)).to.deep.equal(fitting);
    expect(expiries(segment, prints)).to.deep.equal(
      prints.map((_, index) => (index < fitting.length ? index + 1 : 0)),
    );
  });

  it("splits by the next bit of the second word, and is joined again once there is enough room", () => {
    const segment = new Segment();
    const prints = Array.from({ length: 300 }, (_, index) => print(index << 23, index));
    for (const [index, one] of prints.entries()) segment.put(one, index + 1);
    const odd = segment.split();
    const stateOf = (one: Segment) => [one.depth, one.size, expiries(one, prints)];
    const of = (rest: number) => prints.map((_, index) => (index % 2 === rest ? index + 1 : 0));
    expect([stateOf(segment), stateOf(odd)]).to.deep.equal([
      [1, 150, of(0)],
      [1, 150, of(1)],
    ]);
    const tooSoon = segment.join(odd);
    for (const half of [segment, odd]) half.sweep(200);
    const inTime = segment.join(odd);
    expect([tooSoon, inTime, ...stateOf(segment)]).to.deep.equal([
      false,
      true,
      0,
      100,
      prints.map((_, index) => (index < 200 ? 0 : index + 1)),
    ]);
  });

  it("visits every entry once, and in each thousand as many from its front as from its back", () => {
    const segment = new Segment();
    const firsts = Array.from({ length: 8000 }, (_, index) => index * 2 ** 19);
    for (const first of firsts) segment.put(print(first, 0), 1 + first);
    const visited: number[] = [];
    segment.visit((_, expiresAt) => visited.push(expiresAt - 1));
    const inFront = Array.from({ length: 8 }, (_, at) => {
      const thousand = visited.slice(at * 1000, (at + 1) * 1000);
      return thousand.filter((first) => first < 4000 * 2 ** 19).length;
    });
    expect([...visited].sort((a, b) => a - b)).to.deep.equal(firsts);
    expect(inFront.filter((count) => Math.abs(count - 500) > 50)).to.deep.equal([]);
  });
});
