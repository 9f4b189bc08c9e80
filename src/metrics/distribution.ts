import { Counter, type Registry } from "prom-client";

/**
 * Counts values by their size. The library's own histogram looks its labels up and checks them at every value, which takes a
 * microsecond, of the thirty that a call has: here that is done when somebody asks.
 */
export class Distribution {
  readonly #bounds: readonly number[];
  /** One more than there are bounds: the last is for whatever is above all of them. */
  readonly #counts: number[];
  #sum = 0;

  /** `bounds` ascend; a value belongs to the first that is not below it. */
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

  /** What Prometheus is told of it: how many values there were up to each bound, how many in all, and their sum. */
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
  /** Every one of them, with its labels; asked whenever the metrics are. */
  readonly distributions: () => Iterable<{ labels: Record<string, string>; distribution: Distribution }>;
}

type Values = Awaited<ReturnType<Counter<string>["get"]>>;

/** Distributions as a histogram among the library's metrics: all that it asks of one is this answer. */
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
    // Text, whatever the library's types say.
    const type = "histogram" as unknown as Values["type"];
    return { ...(await super.get()), type, values };
  }
}
