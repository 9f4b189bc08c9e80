export function median(values: readonly number[]): number {
  const sorted = Float64Array.from(values).sort();
  const middle = sorted.length >> 1;
  if (sorted.length % 2 === 1) return sorted[middle] as number;
  return ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}

/** The smallest sample that at least this share of all samples do not exceed. */
export function percentile(samples: readonly number[], share: number): number {
  const sorted = Float64Array.from(samples).sort();
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
}

/** The values that half of all samples, 99 in 100, and all of them do not exceed. */
export function quantiles(samples: readonly number[]): number[] {
  return [percentile(samples, 0.5), percentile(samples, 0.99), percentile(samples, 1)];
}
