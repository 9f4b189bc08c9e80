import type { Curve } from "./curve.ts";
import type { Slice } from "./load.ts";
import { median, percentile } from "./statistics.ts";

export interface ScenarioResult {
  readonly name: string;
  /** The unit that is counted per second, or the unit of the figures. */
  readonly unit: string;
  /** The first is ours. */
  readonly rows?: readonly Row[];
  /** Measurements other than throughput. */
  readonly figures?: Figures;
  readonly curve?: Curve;
  readonly targets: readonly Target[];
  /** What was not measured, and why. */
  readonly skipped: readonly string[];
}

/** A separate table. */
export interface Figures {
  /** The columns' headings, without that of the names. */
  readonly headings: readonly string[];
  readonly rows: readonly { readonly name: string; readonly values: readonly number[] }[];
}

/** Medians over the rounds. */
export interface Row {
  readonly name: string;
  readonly perSecond: number;
  readonly p50Ms?: number;
  readonly p99Ms?: number;
  /** CPU time of the serving processes, per unit. */
  readonly cpuMicros?: number;
  /** Our throughput divided by this contestant's, compared round by round. */
  readonly ratio?: number;
}

export interface Target {
  readonly what: string;
  readonly measured: number;
  readonly bound: { readonly atLeast: number } | { readonly atMost: number };
  readonly met: boolean;
}

export function target(what: string, measured: number, bound: Target["bound"]): Target {
  const met = "atLeast" in bound ? measured >= bound.atLeast : measured <= bound.atMost;
  return { what, measured, bound, met };
}

/** The rows of contestants, of which the first is ours; ratios are of throughput, above 1 if ours is faster. */
export function throughputRows(names: readonly string[], slices: readonly Slice[][]): Row[] {
  const ours = (slices[0] as Slice[]).map(perSecond);
  return names.map((name, index) => {
    const own = slices[index] as Slice[];
    const cpuMicros = median(own.map(({ cpuSeconds, calls }) => (cpuSeconds / calls) * 1e6));
    return {
      name,
      perSecond: median(own.map(perSecond)),
      p50Ms: median(own.map(({ latencies }) => percentile(latencies, 0.5))),
      p99Ms: median(own.map(({ latencies }) => percentile(latencies, 0.99))),
      ...(cpuMicros > 0 ? { cpuMicros } : {}),
      ...(index === 0 ? {} : { ratio: medianRatio(ours, own.map(perSecond)) }),
    };
  });
}

export function medianRatio(ours: readonly number[], theirs: readonly number[]): number {
  return median(ours.map((value, round) => value / (theirs[round] as number)));
}

function perSecond({ calls, seconds }: Slice): number {
  return calls / seconds;
}
