import { expect } from "chai";
import { MAX_EPOCH_MS } from "../../src/entry.ts";
import { ColumnsBuilder, type EntryColumns, eachOf, inParts } from "../../src/token-index/columns.ts";

type Entry = readonly [fingerprint: readonly number[], until: number];

const TIMES = [1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 1, 1_767_225_600_000, MAX_EPOCH_MS];

/** Entries that differ in every word, the highest bits included. */
function entries(count: number): Entry[] {
  return Array.from({ length: count }, (_, at) => [
    [at, ~at, Math.imul(at, 0x9e3779b1), -at | 0],
    TIMES[at % TIMES.length] as number,
  ]);
}

function columnsOf(all: readonly Entry[], builder = new ColumnsBuilder()): EntryColumns {
  for (const [fingerprint, until] of all) builder.add(Int32Array.from(fingerprint), until);
  return builder.take();
}

function read(columns: EntryColumns): Entry[] {
  const found: Entry[] = [];
  eachOf(columns, (fingerprint, until) => found.push([[...fingerprint], until]));
  return found;
}

describe("columns of entries", () => {
  for (const count of [0, 1, 64, 65, 1000]) {
    it(`return ${count} entries as they were added`, () => {
      const all = entries(count);
      const columns = columnsOf(all);
      expect([columns.fingerprints.length, columns.until.length]).to.deep.equal([16 * count, 8 * count]);
      expect(read(columns)).to.deep.equal(all);
    });
  }

  it("are little-endian, for any language to read", () => {
    const { fingerprints, until } = columnsOf([
      [[0x04030201, 0x08070605, 0x0c0b0a09, 0x100f0e0d], 0x0605_0403_0201],
    ]);
    expect([[...fingerprints], [...until]]).to.deep.equal([
      [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
      [1, 2, 3, 4, 5, 6, 0, 0],
    ]);
  });

  it("contain the entries added since they were last taken, and do not change afterwards", () => {
    const builder = new ColumnsBuilder();
    const [first, second] = [entries(100).slice(0, 70), entries(100).slice(70)];
    const taken = columnsOf(first, builder);
    const sizes = [builder.size];
    const later = columnsOf(second, builder);
    expect([read(taken), read(later), sizes, read(builder.take())]).to.deep.equal([first, second, [0], []]);
  });

  it("are readable at any alignment in memory", () => {
    const all = entries(3);
    const { fingerprints, until } = columnsOf(all);
    const shifted = (bytes: Uint8Array) => {
      const larger = new Uint8Array(bytes.length + 6);
      larger.set(bytes, 3);
      return larger.subarray(3, bytes.length + 3);
    };
    expect(read({ fingerprints: shifted(fingerprints), until: shifted(until) })).to.deep.equal(all);
  });

  it("are refused as a whole if their lengths differ", () => {
    const { fingerprints, until } = columnsOf(entries(4));
    for (const bad of [
      { fingerprints: fingerprints.subarray(16), until },
      { fingerprints: fingerprints.subarray(1), until },
      { fingerprints, until: until.subarray(8) },
      { fingerprints, until: until.subarray(1) },
      { fingerprints: new Uint8Array(), until },
    ]) {
      let handed = 0;
      expect(() => eachOf(bad, () => handed++)).to.throw(RangeError);
      expect(handed).to.equal(0);
    }
  });

  it("are split into parts of the same entries, and into one part without entries", () => {
    const all = entries(10);
    const parts = (columns: EntryColumns, count: number) => [...inParts(columns, count)].map(read);
    expect([
      parts(columnsOf(all), 4),
      parts(columnsOf(all), 5),
      parts(columnsOf(all), 10),
      parts(columnsOf([]), 4),
    ]).to.deep.equal([
      [all.slice(0, 4), all.slice(4, 8), all.slice(8)],
      [all.slice(0, 5), all.slice(5)],
      [all],
      [[]],
    ]);
  });
});
