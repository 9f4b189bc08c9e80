import type { Registry } from "prom-client";
import { counters } from "./collected.ts";

/** What callers of `IsBlacklisted` and `StreamChecks` are told of each token they ask about. Plain numbers, since this is done for every check. */
export class VerdictMetrics {
  readonly #counts = { blacklisted: 0, not_blacklisted: 0, unknown: 0 };

  constructor(registers: Registry[]) {
    counters(registers, {
      name: "tokenblacklist_verdicts_total",
      help: "Verdicts on tokens in answers of IsBlacklisted and StreamChecks.",
      label: "verdict",
      values: () => this.#counts,
    });
  }

  /** An answer with `all` verdicts. */
  add({ all, blacklisted, unknown }: { all: number; blacklisted: number; unknown: number }): void {
    this.#counts.blacklisted += blacklisted;
    this.#counts.unknown += unknown;
    this.#counts.not_blacklisted += all - blacklisted - unknown;
  }
}
