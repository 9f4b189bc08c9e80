import { Counter, type Registry } from "prom-client";
import type { Decision } from "../decision.ts";
import { CALL_SECONDS, Distribution } from "./distribution.ts";
import { histogram, zeros } from "./lazy-metrics.ts";

const DECISIONS: readonly Decision[] = ["pass", "revoked", "no-token", "no-jti", "malformed", "unknown"];

/** Counts the decisions about proxies' requests, by Envoy's protocol (`ext_authz`) and over HTTP. */
export class DecisionMetrics {
  readonly #counts = { ext_authz: zeros(DECISIONS), http: zeros(DECISIONS) };
  readonly #times = new Distribution(CALL_SECONDS);

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
      bySeries: () => [["", this.#times]],
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
