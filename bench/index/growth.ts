import { randomBytes } from "node:crypto";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setImmediate as turn } from "node:timers/promises";
import { built } from "../built.ts";
import { collectGarbage, input, report } from "./child.ts";
import { NumberedJtis } from "./numbered-jtis.ts";

// Grows an index, a slice in each turn of the event loop as a follower does, half of it UUIDs.

export interface GrowthInput {
  readonly entries: number;
}

/** Growth of the process in bytes per entry. */
export interface Growth {
  /** The number of entries at each sample, and the bytes per entry. */
  readonly samples: readonly (readonly [entries: number, bytes: number])[];
  readonly seconds: number;
  /** Between two turns of the event loop, including a millisecond of waiting. */
  readonly delayP99Ms: number;
  readonly delayMaxMs: number;
}

/** Entries per turn of the event loop. */
const SLICE = 2000;
const SAMPLE_EVERY = 20_000;
/** With fewer entries, the rest of the process dominates the measurement. */
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

/** Makes V8 compile the code. The table stays small: memory that it freed would be reused by the table that is measured. */
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
