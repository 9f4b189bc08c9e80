import type { Registry } from "prom-client";
import { counters } from "./lazy-metrics.ts";

/** Numbers of verdicts: of all, and of those that are BLACKLISTED and UNKNOWN. */
export interface VerdictCounts {
  readonly count: number;
  readonly blacklisted: number;
  readonly unknown: number;
}

/** Counts the verdicts returned by `IsBlacklisted` and `StreamChecks`. Plain numbers, since they change with every check. */
export class VerdictMetrics {
  readonly #counts = { blacklisted: 0, not_blacklisted: 0, unknown: 0 };

  constructor(registers: Registry[]) {
    counters(registers, {
      name: "tokenblacklist_verdicts_total",
      help: "Verdicts returned by IsBlacklisted and StreamChecks, by verdict.",
      label: "verdict",
      values: () => this.#counts,
    });
  }

  /** Counts the verdicts of one response. */
  add({ count, blacklisted, unknown }: VerdictCounts): void {
    this.#counts.blacklisted += blacklisted;
    this.#counts.unknown += unknown;
    this.#counts.not_blacklisted += count - blacklisted - unknown;
  }
}
