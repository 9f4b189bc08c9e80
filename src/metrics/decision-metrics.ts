import { Counter, type Registry } from "prom-client";
import type { Decision } from "../decision.ts";
import { Distribution } from "./distribution.ts";
import { histogram, zeros } from "./lazy-metrics.ts";

const RULINGS: readonly Decision[] = ["pass", "revoked", "no-token", "no-jti", "malformed", "unknown"];

/** In seconds, as for gRPC. */
const TIMES = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** Counts the answers to proxies. */
export class RulingMetrics {
  readonly #counts = { ext_authz: zeros(RULINGS), http: zeros(RULINGS) };
  readonly #times = new Distribution(TIMES);

  constructor(registers: Registry[]) {
    const counts = this.#counts;
    new Counter({
      name: "tokenblacklist_rulings_total",
      help: "Answers to proxies, by the way they asked and by what they were told.",
      labelNames: ["asked_by", "ruling"],
      registers,
      collect() {
        this.reset();
        for (const [asked_by, rulings] of Object.entries(counts)) {
          for (const [ruling, count] of Object.entries(rulings)) this.inc({ asked_by, ruling }, count);
        }
      },
    });
    histogram(registers, {
      name: "tokenblacklist_authz_seconds",
      help: "Time from a question's arrival at AUTHZ_ADDRESS to its answer.",
      parts: () => [["", this.#times]],
    });
  }

  count(askedBy: "ext_authz" | "http", ruling: Decision): void {
    this.#counts[askedBy][ruling]++;
  }

  /** Records the duration of a request over HTTP. */
  time(seconds: number): void {
    this.#times.add(seconds);
  }
}
