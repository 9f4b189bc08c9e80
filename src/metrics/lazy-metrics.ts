import { Counter, Gauge, type Registry } from "prom-client";
import { type Distribution, DistributionMetric } from "./distribution.ts";

// Metrics that hold no state: their values are read at each scrape.

interface Named {
  readonly name: string;
  readonly help: string;
}

/** Adds a gauge, which is absent while `value` returns undefined. */
export function gauge(
  registers: Registry[],
  { value, ...named }: Named & { value: () => number | undefined },
): void {
  new Gauge({
    ...named,
    registers,
    collect() {
      const now = value();
      if (now === undefined) this.remove();
      else this.set(now);
    },
  });
}

/** Adds a gauge with a series for each member of `values`. The member's name is the value of `label`. */
export function gauges(
  registers: Registry[],
  { label, values, ...named }: Named & { label: string; values: () => Readonly<Record<string, number>> },
): void {
  new Gauge({ ...named, labelNames: [label], registers, collect: collectOf(label, values) });
}

/** Adds a counter; `value` must never decrease. */
export function counter(registers: Registry[], { value, ...named }: Named & { value: () => number }): void {
  new Counter({
    ...named,
    registers,
    collect() {
      this.reset();
      this.inc(value());
    },
  });
}

/** Adds a counter with a series for each member of `values`, which must never decrease. The member's name is the value of `label`. */
export function counters(
  registers: Registry[],
  { label, values, ...named }: Named & { label: string; values: () => Readonly<Record<string, number>> },
): void {
  new Counter({ ...named, labelNames: [label], registers, collect: collectOf(label, values) });
}

/** Replaces the series of a metric by the current `values`. */
function collectOf(label: string, values: () => Readonly<Record<string, number>>) {
  return function (this: Counter | Gauge): void {
    this.reset();
    for (const [name, value] of Object.entries(values())) this.inc({ [label]: name }, value);
  };
}

/** Adds a histogram of one or more distributions, each with its value of `label`. Without `label`, of a single distribution. */
export function histogram(
  registers: Registry[],
  {
    label,
    bySeries,
    ...named
  }: Named & { label?: string; bySeries: () => readonly (readonly [string, Distribution])[] },
): void {
  new DistributionMetric({
    ...named,
    registers,
    distributions: () =>
      bySeries().map(([name, distribution]) => ({
        labels: label === undefined ? {} : { [label]: name },
        distribution,
      })),
  });
}

/** A count of 0 for each name, so that each event is exported before it first occurs, and its first occurrence is an increase. */
export function zeros<N extends string>(names: readonly N[]): Record<N, number> {
  return Object.fromEntries(names.map((name) => [name, 0])) as Record<N, number>;
}
