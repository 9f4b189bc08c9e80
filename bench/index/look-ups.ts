import { randomBytes } from "node:crypto";
import { built } from "../built.ts";
import { median } from "../statistics.ts";
import { collectGarbage, input, report } from "./child.ts";
import { type JtiKind, NumberedJtis } from "./numbered-jtis.ts";

// Times look-ups. Every probe is a string that has not been looked up before, because a string caches the hash that Map needs, and
// in a service each string is fresh from the network.

export interface LookUpsInput {
  readonly table: "index" | "Map";
  readonly kind: JtiKind;
  readonly entries: number;
}

/** Nanoseconds per look-up, medians of the passes. */
export interface LookUpTimes {
  readonly hitNs: number;
  readonly missNs: number;
  /** Half of them misses, in an order that a processor cannot predict. */
  readonly mixedNs: number;
}

interface Table {
  add(jti: string, expiresAt: number): void;
  has(jti: string): boolean;
}

const PROBES = 1_000_000;
const PASSES = 3;
/** Far above the numbers of all entries. */
const FIRST_MISS = 2 ** 31;
/** A prime, so that probed entries are spread over the table and all occur equally often. */
const STRIDE = 7_368_787;

const given = input<LookUpsInput>();

async function emptyTable(): Promise<Table> {
  if (given.table === "Map") {
    const map = new Map<string, number>();
    return {
      add: (jti, expiresAt) => void map.set(jti, expiresAt),
      has: (jti) => map.get(jti) !== undefined,
    };
  }
  const { TokenIndex } = await built<typeof import("../../src/token-index/token-index.ts")>(
    "token-index/token-index.js",
  );
  const index = new TokenIndex(randomBytes(32));
  return { add: (jti, expiresAt) => index.add(jti, expiresAt), has: (jti) => index.expiryOf(jti) !== 0 };
}

/** `isHit` tells the kind of each probe. */
function makeProbes(count: number, isHit: (at: number) => boolean): string[] {
  const jtis = new NumberedJtis(given.kind);
  return Array.from({ length: count }, (_, at) =>
    jtis.text(isHit(at) ? (at * STRIDE) % given.entries : FIRST_MISS + at),
  );
}

/** Nanoseconds per look-up. */
function timed(table: Table, probes: readonly string[], hits: number): number {
  let found = 0;
  const began = process.hrtime.bigint();
  for (const jti of probes) if (table.has(jti)) found++;
  const nanoseconds = Number(process.hrtime.bigint() - began);
  if (found !== hits) throw new Error(`${found} of ${hits} were found`);
  return nanoseconds / probes.length;
}

const table = await emptyTable();
const jtis = new NumberedJtis(given.kind);
const expiresAt = Date.now() + 86_400_000;
for (let number = 0; number < given.entries; number++) {
  table.add(jtis.text(number), expiresAt + (number % 3_600_000));
}

const passes: LookUpTimes[] = [];
for (let pass = 0; pass <= PASSES; pass++) {
  const coins = randomBytes(PROBES);
  const isHeads = (at: number) => ((coins[at] as number) & 1) === 1;
  const hits = makeProbes(PROBES / 4, () => true);
  const misses = makeProbes(PROBES / 4, () => false);
  const mixed = makeProbes(PROBES, isHeads);
  const heads = coins.reduce((sum, coin) => sum + (coin & 1), 0);
  const others = makeProbes(PROBES / 10, () => true);
  await collectGarbage();
  // The first run after a collection finds the processor's caches empty.
  timed(table, others, others.length);
  passes.push({
    hitNs: timed(table, hits, hits.length),
    missNs: timed(table, misses, 0),
    mixedNs: timed(table, mixed, heads),
  });
}
// The first pass is for V8 to compile the code.
const counted = passes.slice(1);
report<LookUpTimes>({
  hitNs: median(counted.map(({ hitNs }) => hitNs)),
  missNs: median(counted.map(({ missNs }) => missNs)),
  mixedNs: median(counted.map(({ mixedNs }) => mixedNs)),
});
