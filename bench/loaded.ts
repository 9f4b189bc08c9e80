import type { Contestant } from "./contestant.ts";
import { cpuSeconds } from "./cpu-time.ts";
import type { LineName } from "./curve.ts";
import { closedLoop, type Slice } from "./load.ts";
import { median, percentile } from "./statistics.ts";

/** A slice, and its cost for the database. The contestant's own processes are only the service. */
export interface LoadedSlice extends Slice {
  readonly databaseCpuSeconds: number;
}

export async function loadedSlice(
  contestant: Contestant,
  { databasePid, ...load }: { databasePid: number; callers: number; seconds: number },
): Promise<LoadedSlice> {
  const before = cpuSeconds([databasePid]);
  const slice = await closedLoop(contestant, load);
  return { ...slice, databaseCpuSeconds: cpuSeconds([databasePid]) - before };
}

/** The names of {@link loadFigures}. */
export const LOAD_LINES: readonly LineName[] = [
  { name: "calls", unit: "1/s" },
  { name: "p50", unit: "ms" },
  { name: "p99", unit: "ms" },
  { name: "CPU of the service", unit: "µs a call" },
  { name: "CPU of the database", unit: "µs a call" },
];

/** Medians over the slices; for CPU time the mean over all calls, because the kernel's unit is too coarse for one slice. */
export function loadFigures(slices: readonly LoadedSlice[]): number[] {
  const calls = sum(slices.map((slice) => slice.calls));
  return [
    median(slices.map((slice) => slice.calls / slice.seconds)),
    median(slices.map(({ latencies }) => percentile(latencies, 0.5))),
    median(slices.map(({ latencies }) => percentile(latencies, 0.99))),
    (sum(slices.map((slice) => slice.cpuSeconds)) / calls) * 1e6,
    (sum(slices.map((slice) => slice.databaseCpuSeconds)) / calls) * 1e6,
  ];
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
