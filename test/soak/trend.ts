/** A value at a time, in milliseconds since an arbitrary start. */
export interface Sample {
  readonly at: number;
  readonly value: number;
}

/** The slope of a value by least squares, with an interval such that nine of them, as many as a soak evaluates, are all correct with 95 % confidence. */
export interface Trend {
  readonly perHour: number;
  readonly low: number;
  readonly high: number;
  /** The points of the regression: means of several samples each. */
  readonly points: number;
}

const HOUR_MS = 3_600_000;
/** Two-sided quantile of the normal distribution at 1 - 0.05 / 9. With 95 % for each, every third run would find growth where there is none. */
const Z = 2.7729;

/**
 * The trend of `samples`, averaged over blocks of `blockMs`; undefined if there are too few. Autocorrelated values
 * count for less: the lag-1 autocorrelation of the residuals reduces the number of points (n (1 - r) / (1 + r)).
 */
export function trendOf(samples: readonly Sample[], { blockMs }: { blockMs: number }): Trend | undefined {
  const points = blocks(samples, blockMs);
  const count = points.length;
  if (count < 4) return undefined;
  const meanAt = mean(points.map(({ at }) => at));
  const meanValue = mean(points.map(({ value }) => value));
  const spread = sum(points.map(({ at }) => (at - meanAt) ** 2));
  const slope = sum(points.map(({ at, value }) => (at - meanAt) * (value - meanValue))) / spread;
  const rests = points.map(({ at, value }) => value - meanValue - slope * (at - meanAt));
  const squares = sum(rests.map((rest) => rest ** 2));
  const independent = effectiveCount(rests, squares);
  const error = Math.sqrt(squares / (independent - 2) / spread);
  const reach = studentT(independent - 2) * error;
  const [perHour, low, high] = [slope, slope - reach, slope + reach].map((each) => each * HOUR_MS);
  return { perHour: perHour as number, low: low as number, high: high as number, points: count };
}

function blocks(samples: readonly Sample[], blockMs: number): Sample[] {
  const grouped = new Map<number, Sample[]>();
  for (const sample of samples) {
    const block = Math.floor(sample.at / blockMs);
    const group = grouped.get(block);
    if (group === undefined) grouped.set(block, [sample]);
    else group.push(sample);
  }
  return [...grouped.values()].map((group) => ({
    at: mean(group.map(({ at }) => at)),
    value: mean(group.map(({ value }) => value)),
  }));
}

function effectiveCount(rests: readonly number[], squares: number): number {
  const count = rests.length;
  if (squares === 0) return count;
  const products = sum(rests.slice(1).map((rest, index) => rest * (rests[index] as number)));
  const correlation = Math.max(0, products / squares);
  // Never so few that no statement is possible.
  return Math.max(3, (count * (1 - correlation)) / (1 + correlation));
}

/** The same quantile of Student's distribution, by its expansion around the normal one; within 3 % from 3 degrees of freedom. */
function studentT(degrees: number): number {
  if (degrees < 2) return 114.6 / degrees ** 3.1;
  return (
    Z +
    (Z ** 3 + Z) / (4 * degrees) +
    (5 * Z ** 5 + 16 * Z ** 3 + 3 * Z) / (96 * degrees ** 2) +
    (3 * Z ** 7 + 19 * Z ** 5 + 17 * Z ** 3 - 15 * Z) / (384 * degrees ** 3)
  );
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function mean(values: readonly number[]): number {
  return sum(values) / values.length;
}
