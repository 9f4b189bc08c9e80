import { Counter, type Registry } from "prom-client";

/** Bounds for the duration of a call, in seconds. A check takes a millisecond or two, and callers give up within ten seconds. */
export const CALL_SECONDS = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/**
 * Counts values in buckets. The library's own histogram looks up and validates labels for every value, which takes a microsecond, where a
 * whole call takes thirty microseconds. Here, labels are applied at the scrape.
 */
export class Distribution {
  readonly #bounds: readonly number[];
  /** A count for each bound, and a last count for values above all bounds. */
  readonly #counts: number[];
  #sum = 0;

  /** `bounds` must ascend. Each is inclusive: a value is counted at the first bound that it does not exceed. */
  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = new Array(bounds.length + 1).fill(0);
  }

  add(value: number): void {
    const bounds = this.#bounds;
    let at = 0;
    while (at < bounds.length && value > (bounds[at] as number)) at++;
    (this.#counts[at] as number) += 1;
    this.#sum += value;
  }

  /** The series for Prometheus: the number of values up to each bound, their sum, and their total number. */
  *series(): Iterable<{ suffix: string; labels: Record<string, string>; value: number }> {
    let count = 0;
    for (const [at, more] of this.#counts.entries()) {
      count += more;
      const bound = this.#bounds[at];
      yield {
        suffix: "_bucket",
        labels: { le: bound === undefined ? "+Inf" : String(bound) },
        value: count,
      };
    }
    yield { suffix: "_sum", labels: {}, value: this.#sum };
    yield { suffix: "_count", labels: {}, value: count };
  }
}

interface Options {
  readonly name: string;
  readonly help: string;
  readonly registers: Registry[];
  /** All distributions with their labels, read at each scrape. */
  readonly distributions: () => Iterable<{ labels: Record<string, string>; distribution: Distribution }>;
}

type Values = Awaited<ReturnType<Counter<string>["get"]>>;

/** Exports distributions as a histogram. It extends Counter only because the registry accepts no other type; the registry calls only `get`. */
export class DistributionMetric extends Counter<string> {
  readonly #options: Options;

  constructor(options: Options) {
    super({ name: options.name, help: options.help, registers: options.registers });
    this.#options = options;
  }

  override async get(): Promise<Values> {
    const { name, distributions } = this.#options;
    const values = [...distributions()].flatMap(({ labels, distribution }) =>
      [...distribution.series()].map(({ suffix, labels: own, value }) => ({
        metricName: name + suffix,
        labels: { ...labels, ...own },
        value,
      })),
    );
    // The library declares an enum, but uses strings.
    const type = "histogram" as unknown as Values["type"];
    return { ...(await super.get()), type, values };
  }
}
