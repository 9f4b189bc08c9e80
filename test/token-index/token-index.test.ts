import { expect } from "chai";
import fc from "fast-check";
import { MAX_EPOCH_MS } from "../../src/entry.ts";
import { END_OF_PLACES, TokenIndex } from "../../src/token-index/token-index.ts";
import { randomFor } from "../support/seed.ts";

const KEY = Uint8Array.from({ length: 32 }, (_, at) => 255 - at);
const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/** This many different jtis of one kind. */
function jtis(count: number, make: (index: number) => string): string[] {
  const made = new Set<string>();
  for (let index = 0; made.size < count; index++) made.add(make(index));
  return [...made];
}

function randomText(random: () => number, length: number): string {
  return Array.from({ length }, () => DIGITS[Math.floor(random() * DIGITS.length)]).join("");
}

function randomUuid(random: () => number): string {
  const hex = Array.from({ length: 32 }, () => Math.floor(random() * 16).toString(16)).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** The jtis for which the index and a Map differ. */
function differences(
  index: TokenIndex,
  model: ReadonlyMap<string, number>,
  asked: Iterable<string>,
): string[] {
  return [...asked].filter((jti) => index.expiryOf(jti) !== (model.get(jti) ?? 0));
}

describe("the token index", () => {
  it("equals a Map for jtis of any characters as text and as UTF-8, later and earlier expiries, and sweeps", () => {
    const jti = fc.oneof(
      fc.constantFrom("abc", "ABC", "a", "é", "e\u0301", "a".repeat(255), "😀".repeat(63)),
      fc.string({ unit: "binary", minLength: 1, maxLength: 60 }),
      fc.uuid().chain((uuid) => fc.constantFrom(uuid, uuid.toUpperCase(), `{${uuid}}`)),
    );
    const expiry = fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: MAX_EPOCH_MS }));
    const step = fc.oneof(
      { weight: 9, arbitrary: fc.record({ jti, expiry, asText: fc.boolean() }) },
      { weight: 1, arbitrary: fc.record({ cutoff: expiry }) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60, size: "max" }), (steps) => {
        const index = new TokenIndex(KEY);
        const model = new Map<string, number>();
        const seen = new Set<string>();
        for (const one of steps) {
          if ("jti" in one) {
            seen.add(one.jti);
            index.add(one.asText ? one.jti : Buffer.from(one.jti), one.expiry);
            model.set(one.jti, Math.max(one.expiry, model.get(one.jti) ?? 0));
          } else {
            const expired = [...model].filter(([, expiresAt]) => expiresAt <= one.cutoff);
            for (const [gone] of expired) model.delete(gone);
            expect(index.sweep(one.cutoff)).to.equal(expired.length);
          }
        }
        expect([index.size, differences(index, model, seen)]).to.deep.equal([model.size, []]);
      }),
    );
  });

  it("equals a Map while it grows through many splits, is swept in parts, shrinks, and grows again", () => {
    const random = randomFor("token index model");
    const index = new TokenIndex(KEY);
    const model = new Map<string, number>();
    const all: string[] = [];
    const mostBytes: number[] = [];
    for (const [count, cutoff] of [
      [60_000, 300],
      [60_000, 600],
      [0, 990],
      [60_000, 500],
      [0, 1000],
    ] as const) {
      for (let added = 0; added < count; added++) {
        const known = random() < 0.2 ? all[Math.floor(random() * all.length)] : undefined;
        const jti = known ?? (random() < 0.5 ? randomUuid(random) : randomText(random, 22));
        if (known === undefined) all.push(jti);
        const expiresAt = 1 + Math.floor(random() * 1000);
        index.add(jti, expiresAt);
        model.set(jti, Math.max(expiresAt, model.get(jti) ?? 0));
        if (added % 5000 === 0) expect(index.size).to.equal(model.size);
      }
      expect(differences(index, model, all)).to.deep.equal([]);
      let swept = 0;
      for (let calls = 0; calls < 100; calls++) swept += index.sweep(cutoff, 2);
      const expired = [...model].filter(([, expiresAt]) => expiresAt <= cutoff);
      for (const [jti] of expired) model.delete(jti);
      expect([swept, index.size, differences(index, model, all)]).to.deep.equal([
        expired.length,
        model.size,
        [],
      ]);
      mostBytes.push(index.bytes);
    }
    expect(mostBytes.at(-1), "an empty index again").to.be.lessThan((mostBytes[1] as number) / 8);
  });

  it("has swept every entry after one round, although segments split meanwhile", () => {
    const index = new TokenIndex(KEY);
    const old = jtis(20_000, (at) => `old-${at}`);
    for (const jti of old) index.add(jti, 1000);
    let added = 0;
    // More calls than there are segments in the end.
    for (let calls = 0; calls < 64; calls++) {
      index.sweep(1000);
      for (let more = 0; more < 3000; more++) index.add(`new-${added++}`, 2000);
    }
    expect([old.filter((jti) => index.expiryOf(jti) !== 0).length, index.size]).to.deep.equal([0, added]);
  });

  it("visits the given number of segments per sweep, and none twice", () => {
    const index = new TokenIndex(KEY);
    for (let at = 0; at < 100_000; at++) index.add(`${at}`, 1000);
    const first = index.sweep(1000);
    const next = index.sweep(1000, 3);
    expect([first > 4000 && first < 11_000, next > 12_000 && next < 33_000]).to.deep.equal([true, true]);
    expect([index.sweep(1000, Number.POSITIVE_INFINITY), index.size]).to.deep.equal([
      100_000 - first - next,
      0,
    ]);
  });

  it("removes everything in one full sweep, although it joins small segments", () => {
    const index = new TokenIndex(KEY);
    for (let at = 0; at < 100_000; at++) index.add(`${at}`, 1000);
    const swept = [1000, 2000, 3000].map((expiresAt) => {
      for (let at = 0; at < 500; at++) index.add(`short-${at}`, expiresAt);
      const { bytes } = index;
      return [index.sweep(expiresAt, Number.POSITIVE_INFINITY), index.size, index.bytes < bytes];
    });
    expect(swept).to.deep.equal([
      [100_500, 0, true],
      [500, 0, true],
      [500, 0, true],
    ]);
  });

  it("loses nothing when it grows again after joining segments, for any start and end of the sweep", () => {
    const kept = jtis(130_000, (at) => `kept-${at}`);
    const model = new Map(kept.map((jti) => [jti, 9000]));
    const lost = [0, 1, 2].flatMap((start) =>
      [20, 22].map((calls) => {
        const index = new TokenIndex(KEY);
        for (const jti of kept.slice(0, 500)) index.add(jti, 9000);
        for (let at = 0; at < 100_000; at++) index.add(`${at}`, 1000);
        index.sweep(1, start);
        for (let call = 0; call < calls; call++) index.sweep(1000);
        for (const jti of kept) index.add(jti, 9000);
        index.sweep(1000, Number.POSITIVE_INFINITY);
        return [index.size, differences(index, model, kept)];
      }),
    );
    expect(lost).to.deep.equal(lost.map(() => [130_000, []]));
  });

  it("removes entries that expire at the cutoff, and keeps those that expire a millisecond later", () => {
    const index = new TokenIndex(KEY);
    index.add("at", 5000);
    index.add("after", 5001);
    const swept = index.sweep(5000);
    expect([swept, index.expiryOf("at"), index.expiryOf("after")]).to.deep.equal([1, 0, 5001]);
  });

  it("is empty and small when it is new", () => {
    const index = new TokenIndex(KEY);
    expect(index.bytes).to.be.lessThan(4096);
    expect([index.size, index.expiryOf("7"), index.sweep(1000)]).to.deep.equal([0, 0, 0]);
  });

  it("holds at most 50 bytes an entry on average while it grows, and never 64", () => {
    const index = new TokenIndex(KEY);
    const sizes: number[] = [];
    for (let at = 1; at <= 350_000; at++) {
      index.add(`${at}`, 1000);
      if (at >= 20_000 && at % 1000 === 0) sizes.push(index.bytes / index.size);
    }
    expect(sizes.reduce((sum, size) => sum + size, 0) / sizes.length).to.be.lessThan(45);
    expect(Math.max(...sizes)).to.be.lessThan(60);
  });
});

describe("a visit of the token index", () => {
  const text = (print: Int32Array) => print.join(" ");
  const printOf = (index: TokenIndex, jti: string) => text(index.fingerprintOf(jti));

  it("returns each entry once, with its expiry, without changes meanwhile", () => {
    const index = new TokenIndex(KEY);
    const model = new Map<string, number>();
    for (let at = 0; at < 50_000; at++) {
      index.add(`${at}`, at + 1);
      model.set(printOf(index, `${at}`), at + 1);
    }
    const seen = new Map<string, number>();
    let handed = 0;
    let steps = 0;
    for (let place = 0; place !== END_OF_PLACES; steps++) {
      place = index.visit(place, (print, expiresAt) => {
        handed++;
        seen.set(text(print), expiresAt);
      });
    }
    expect([handed, seen]).to.deep.equal([50_000, model]);
    expect(steps, "in parts").to.be.within(5, 20);
  });

  it("ends after one step if the index is empty", () => {
    expect(new TokenIndex(KEY).visit(0, () => {})).to.equal(END_OF_PLACES);
  });

  it("returns all entries that are present throughout, while others are added, swept, split and joined between its steps", () => {
    const random = randomFor("token index visit");
    const upTo = (most: number) => Math.floor(random() * most);
    const counts = { lost: 0, steps: 0, grown: 0, shrunk: 0 };
    const areEnough = () => counts.steps > 120 && counts.grown > 5 && counts.shrunk > 5;
    // Some seeds need more rounds than others.
    for (let round = 0; round < 40 || (!areEnough() && round < 400); round++) {
      const index = new TokenIndex(KEY);
      let made = 0;
      const add = (count: number, expiresAt: number) => {
        for (let more = 0; more < count; more++) index.add(`${round} ${made++}`, expiresAt);
      };
      // Many that expire soon in some rounds, so that segments are joined; few in others, so that they split.
      add(upTo(3000), 9000);
      add(upTo(60_000), 1000);
      const kept = made;
      const held: string[] = [];
      for (let at = 0; at < kept; at++) {
        const jti = `${round} ${at}`;
        if (index.expiryOf(jti) === 9000) held.push(printOf(index, jti));
      }
      const seen = new Set<string>();
      for (let place = 0; place !== END_OF_PLACES; counts.steps++) {
        place = index.visit(place, (print) => seen.add(text(print)));
        const { bytes } = index;
        const what = random();
        if (what < 0.2) add(upTo(30_000), random() < 0.5 ? 1000 : 9000);
        else if (what < 0.7) index.sweep(1000, 1 + upTo(8));
        if (index.bytes > bytes) counts.grown++;
        if (index.bytes < bytes) counts.shrunk++;
      }
      counts.lost += held.filter((print) => !seen.has(print)).length;
    }
    expect(counts.lost).to.equal(0);
    expect(areEnough()).to.equal(true);
  });

  it("adds entries by their fingerprints from another index with the same key", () => {
    const [one, other] = [new TokenIndex(KEY), new TokenIndex(KEY)];
    for (let at = 0; at < 20_000; at++) one.add(`${at}`, at + 1);
    for (let place = 0; place !== END_OF_PLACES; ) {
      place = one.visit(place, (print, expiresAt) => other.put(print, expiresAt));
    }
    const wrong = Array.from({ length: 20_000 }, (_, at) => at).filter(
      (at) => other.expiryOf(`${at}`) !== at + 1,
    );
    expect([other.size, wrong]).to.deep.equal([20_000, []]);
  });
});

describe("jtis that were chosen as the worst case of the token index", () => {
  const COUNT = 200_000;
  const random = randomFor("token index, hostile");
  const decimal = (at: number, length: number) => `${at}`.padStart(length, "0");
  const KINDS = {
    "numbers in sequence": (at: number) => decimal(at, 20),
    "texts that differ in the middle": (at: number) => `${"x".repeat(17)}${decimal(at, 6)}${"x".repeat(17)}`,
    "texts that differ in the last characters": (at: number) =>
      `${"A".repeat(27)}${at.toString(36).padStart(4, "0")}`,
    "UUIDs that differ in the last bits": (at: number) =>
      `00000000-0000-4000-8000-${at.toString(16).padStart(12, "0")}`,
    "UUIDs that differ in the first bits": (at: number) =>
      `${at.toString(16).padStart(8, "0")}-0000-4000-8000-000000000000`,
  };

  /** Nanoseconds per jti to add all, and to find them, in a new index. */
  function timeOf(all: readonly string[]): number {
    const index = new TokenIndex(KEY);
    const start = process.hrtime.bigint();
    for (const jti of all) index.add(jti, 1000);
    let found = 0;
    for (const jti of all) if (index.expiryOf(jti) === 1000) found++;
    const time = Number(process.hrtime.bigint() - start) / all.length;
    expect([found, index.size]).to.deep.equal([all.length, all.length]);
    return time;
  }

  for (const [what, make] of Object.entries(KINDS)) {
    it(`${what} take no longer than random ones`, () => {
      const chosen = jtis(COUNT, make);
      const { length } = chosen[0] as string;
      const isUuid = length === 36;
      const others = jtis(COUNT, () => (isUuid ? randomUuid(random) : randomText(random, length)));
      // The best of both, alternating: load on the machine makes anything slower, and nothing faster.
      let chosenTime = Number.POSITIVE_INFINITY;
      let randomTime = Number.POSITIVE_INFINITY;
      for (let round = 0; round < 12; round++) {
        chosenTime = Math.min(chosenTime, timeOf(chosen));
        randomTime = Math.min(randomTime, timeOf(others));
        if (chosenTime < 1.5 * randomTime) break;
      }
      expect(chosenTime / randomTime).to.be.lessThan(1.5);
    });
  }
});
