import { Counter, type Registry } from "prom-client";
import type { Decision } from "../decision.ts";
import { Distribution } from "./distribution.ts";
import { histogram, zeros } from "./lazy-metrics.ts";

const DECISIONS: readonly Decision[] = ["pass", "revoked", "no-token", "no-jti", "malformed", "unknown"];

/** In seconds, as for gRPC. */
const TIMES = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** Counts the answers to proxies. */
export class DecisionMetrics {
  readonly #counts = { ext_authz: zeros(DECISIONS), http: zeros(DECISIONS) };
  readonly #times = new Distribution(TIMES);

  constructor(registers: Registry[]) {
    const counts = this.#counts;
    new Counter({
      name: "tokenblacklist_decisions_total",
      help: "Decisions for proxies, by protocol and decision.",
      labelNames: ["protocol", "decision"],
      registers,
      collect() {
        this.reset();
        for (const [protocol, decisions] of Object.entries(counts)) {
          for (const [decision, count] of Object.entries(decisions)) this.inc({ protocol, decision }, count);
        }
      },
    });
    histogram(registers, {
      name: "tokenblacklist_authz_seconds",
      help: "Duration of requests to AUTHZ_ADDRESS.",
      parts: () => [["", this.#times]],
    });
  }

  count(protocol: "ext_authz" | "http", decision: Decision): void {
    this.#counts[protocol][decision]++;
  }

  /** Records the duration of a request over HTTP. */
  time(seconds: number): void {
    this.#times.add(seconds);
  }
}
