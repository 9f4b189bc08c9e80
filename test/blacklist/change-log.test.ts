import { expect } from "chai";
import { ChangeLog, MAX_LOGGED_CHANGES, MAX_LOGGED_ENTRIES } from "../../src/blacklist/change-log.ts";
import { MAX_ENTRIES_PER_MESSAGE } from "../../src/limits.ts";
import { eachOf } from "../../src/token-index/columns.ts";

const revision = (number: number) => ({ number, stamp: number.toString(16).padStart(16, "0") });

describe("the change log", () => {
  let log: ChangeLog;

  beforeEach(() => {
    log = new ChangeLog();
  });

  /** Appends entries with these numbers, which complete a revision. */
  function change(numbers: readonly number[], complete?: number): void {
    for (const number of numbers) log.add(Int32Array.of(number, 0, 0, 0), 1000 + number);
    log.endChange(complete === undefined ? undefined : revision(complete));
  }

  /** The log from a position on: the entries of each change, and the revision that it completes. */
  function from(place: number | undefined): unknown {
    if (place === undefined) return "not kept";
    const found: unknown[] = [];
    for (let at = place; at < log.end; at++) {
      const one = log.changeNumbered(at);
      if (one === undefined) return "a gap";
      const numbers: number[] = [];
      eachOf(one, ([number = 0], until) => numbers.push(until === 1000 + number ? number : -1));
      found.push([numbers, one.revision?.number]);
    }
    return found;
  }

  it("is empty, and has no position, before there is an index", () => {
    change([1], 1);
    expect([
      log.isOpen,
      log.first,
      log.end,
      log.changeNumbered(0),
      log.positionAfter(0),
      log.positionAfter(1),
    ]).to.deep.equal([false, 0, 0, undefined, undefined, undefined]);
  });

  it("continues exactly after the reader's revision", () => {
    log.open(3);
    change([40, 41], 4);
    change([50], 5);
    change([70, 71], 7);
    const all = [
      [[40, 41], 4],
      [[50], 5],
      [[70, 71], 7],
    ];
    expect([2, 3, 4, 5, 6, 7, 8].map((number) => from(log.positionAfter(number)))).to.deep.equal([
      "not kept",
      all,
      all.slice(1),
      all.slice(2),
      // It was read together with the seventh: some of that change may be known already.
      all.slice(2),
      [],
      [],
    ]);
  });

  it("does not continue in the middle of a revision: all of its parts are sent again", () => {
    log.open(0);
    change([10], 1);
    change([20]);
    change([21]);
    change([22], 2);
    change([30]);
    const rest = [
      [[20], undefined],
      [[21], undefined],
      [[22], 2],
      [[30], undefined],
    ];
    expect([from(log.positionAfter(1)), from(log.positionAfter(2))]).to.deep.equal([rest, rest.slice(3)]);
  });

  it("logs a revision without entries once, and nothing without entries or a revision", () => {
    log.open(0);
    change([], 1);
    change([], 1);
    change([]);
    change([], 2);
    change([], 2);
    expect([from(log.positionAfter(0)), log.end - log.first]).to.deep.equal([
      [
        [[], 1],
        [[], 2],
      ],
      2,
    ]);
  });

  it("logs the completion of a revision whose entries were logged before, as parts", () => {
    log.open(0);
    change([10], 1);
    change([20, 21]);
    change([], 2);
    expect(from(log.positionAfter(1))).to.deep.equal([
      [[20, 21], undefined],
      [[], 2],
    ]);
  });

  it("starts over with another index: positions continue, and earlier changes are dropped", () => {
    log.open(0);
    change([10], 1);
    log.add(Int32Array.of(20, 0, 0, 0), 1020);
    const { epoch, end } = log;
    log.close();
    change([30], 3);
    const closed = [log.isOpen, log.end];
    log.open(5);
    const opened = [
      log.isOpen,
      log.first,
      log.end,
      log.epoch !== epoch,
      log.changeNumbered(end - 1),
      log.positionAfter(1),
    ];
    change([60], 6);
    expect([closed, opened, from(log.positionAfter(5)), from(log.positionAfter(4))]).to.deep.equal([
      [false, end],
      [true, end, end, true, undefined, undefined],
      [[[60], 6]],
      "not kept",
    ]);
  });

  it("logs a revision of a new index whose number the old one had reached", () => {
    log.open(0);
    change([10], 1);
    log.close();
    log.open(0);
    change([], 1);
    expect(from(log.positionAfter(0))).to.deep.equal([[[], 1]]);
  });

  it("drops the oldest changes above the maximum, and knows its first revision from then on", () => {
    log.open(0);
    for (let number = 1; number <= 3 * MAX_LOGGED_CHANGES; number++) {
      change([number], number);
      expect(log.end - log.first).to.be.at.most(MAX_LOGGED_CHANGES);
    }
    const { first } = log;
    expect(log.end - first).to.be.at.least((MAX_LOGGED_CHANGES * 3) / 4 - 1);
    // The first change is number 0 and completes revision 1.
    expect([
      log.changeNumbered(first - 1),
      log.positionAfter(first - 1),
      log.positionAfter(first),
      log.positionAfter(first + 5),
    ]).to.deep.equal([undefined, undefined, first, first + 5]);
    expect((from(first) as unknown[])[0]).to.deep.equal([[first + 1], first + 1]);
  });

  it("drops the oldest changes above the maximum of entries", () => {
    log.open(0);
    const EACH = 1000;
    const numbers = Array.from({ length: EACH }, (_, at) => at);
    for (let number = 1; number <= (2 * MAX_LOGGED_ENTRIES) / EACH; number++) {
      change(numbers, number);
      expect((log.end - log.first) * EACH).to.be.at.most(MAX_LOGGED_ENTRIES);
    }
    expect((log.end - log.first) * EACH).to.be.at.least((MAX_LOGGED_ENTRIES * 3) / 4 - EACH);
    expect([log.positionAfter(log.first), log.positionAfter(log.first - 1)]).to.deep.equal([
      log.first,
      undefined,
    ]);
  });

  it("continues for no reader at a revision whose first part was dropped", () => {
    log.open(0);
    // All of one revision, in parts that exceed the maximum together.
    const numbers = Array.from({ length: MAX_LOGGED_ENTRIES / 4 }, (_, at) => at);
    change([1], 1);
    for (let part = 0; part < 4; part++) change(numbers);
    change([2], 2);
    expect(log.first).to.be.above(1);
    expect([log.positionAfter(0), log.positionAfter(1), from(log.positionAfter(2))]).to.deep.equal([
      undefined,
      undefined,
      [],
    ]);
  });

  describe("merges changes", () => {
    const numbersOf = ({ change, next }: ReturnType<ChangeLog["merge"]>) => {
      const numbers: number[] = [];
      eachOf(change, ([number = 0]) => numbers.push(number));
      return [numbers, change.revision?.number, next];
    };

    beforeEach(() => log.open(0));

    it("in their order, with the last revision that they complete, up to the given position", () => {
      change([10, 11], 1);
      change([20]);
      change([21], 2);
      change([]);
      change([30]);
      expect([1, 2, 3, 4].map((end) => numbersOf(log.merge(0, end)))).to.deep.equal([
        [[10, 11], 1, 1],
        [[10, 11, 20], 1, 2],
        [[10, 11, 20, 21], 2, 3],
        [[10, 11, 20, 21, 30], 2, 4],
      ]);
      expect(numbersOf(log.merge(1, 2))).to.deep.equal([[20], undefined, 2]);
    });

    it("up to the maximum of a message, and a larger change alone", () => {
      const numbers = Array.from({ length: MAX_ENTRIES_PER_MESSAGE - 1 }, (_, at) => at);
      change(numbers, 1);
      change([1], 2);
      change([1], 3);
      change([...numbers, 1, 2], 4);
      expect([0, 1, 3].map((from) => log.merge(from, 4).next)).to.deep.equal([2, 3, 4]);
    });

    it("once for all readers at the same position, and again after further changes", () => {
      change([10], 1);
      change([20], 2);
      const one = log.merge(0, 2).change;
      const same = log.merge(0, 2).change === one;
      change([30], 3);
      expect([
        same,
        numbersOf(log.merge(0, 3)),
        log.merge(2, 3).change === log.changeNumbered(2),
      ]).to.deep.equal([true, [[10, 20, 30], 3, 3], true]);
    });
  });

  it("notifies its listener of changes, new indexes and dropped indexes", () => {
    const told: string[] = [];
    log.onChange = () => void told.push(`${log.isOpen} ${log.end}`);
    log.open(0);
    change([1], 1);
    change([]);
    change([2]);
    log.close();
    expect(told).to.deep.equal(["true 0", "true 1", "true 2", "false 2"]);
  });
});
