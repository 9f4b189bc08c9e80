import { randomBytes } from "node:crypto";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setImmediate as turn } from "node:timers/promises";
import { built } from "../built.ts";
import { collectGarbage, input, report } from "./child.ts";
import { NumberedJtis } from "./numbered-jtis.ts";

// Lets an index grow, a slice in each turn of the event loop as when it follows a database, half of it UUIDs.

export interface GrowthInput {
  readonly entries: number;
}

/** Bytes by which the process grew, an entry. */
export interface Growth {
  /** Entries at each sample, and the bytes of each of them then. */
  readonly samples: readonly (readonly [entries: number, bytes: number])[];
  readonly seconds: number;
  /** Between two turns of the event loop, a millisecond of waiting included. */
  readonly delayP99Ms: number;
  readonly delayMaxMs: number;
}

/** Entries in one turn of the event loop. */
const SLICE = 2000;
const SAMPLE_EVERY = 20_000;
/** With fewer, it is the rest of the process that is measured. */
const SAMPLE_FROM = 100_000;

const { entries } = input<GrowthInput>();
const { TokenIndex } = await built<typeof import("../../src/token-index/token-index.ts")>(
  "token-index/token-index.js",
);
const kinds = [new NumberedJtis("uuid"), new NumberedJtis("opaque")] as const;
const expiresAt = Date.now() + 86_400_000;

function addSlice(index: InstanceType<typeof TokenIndex>, from: number): void {
  for (let number = from; number < from + SLICE; number++) {
    index.add(kinds[number & 1 ? 1 : 0].make(number), expiresAt + (number % 3_600_000));
  }
}

/** Has V8 compile what will run. The table stays small: memory that it gave back would be found again by the one measured. */
async function warmUp(): Promise<void> {
  const index = new TokenIndex(randomBytes(32));
  for (let round = 0; round < 200; round++) {
    addSlice(index, 0);
    await turn();
  }
  await collectGarbage();
}

await warmUp();
const index = new TokenIndex(randomBytes(32));
const samples: (readonly [number, number])[] = [];
const before = process.memoryUsage.rss();
const delay = monitorEventLoopDelay({ resolution: 1 });
delay.enable();
const began = performance.now();
for (let from = 0; from < entries; from += SLICE) {
  addSlice(index, from);
  const { size } = index;
  if (size >= SAMPLE_FROM && size % SAMPLE_EVERY === 0) {
    samples.push([size, (process.memoryUsage.rss() - before) / size]);
  }
  await turn();
}
const seconds = (performance.now() - began) / 1000;
delay.disable();
if (index.size !== entries) throw new Error(`${index.size} of ${entries} entries are there`);
report<Growth>({
  samples,
  seconds,
  delayP99Ms: delay.percentile(99) / 1e6,
  delayMaxMs: delay.max / 1e6,
});
