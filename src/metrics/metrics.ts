import { collectDefaultMetrics, Gauge, Registry } from "prom-client";
import { AUTH_OUTCOMES, type AuthOutcome } from "../auth/authenticator.ts";
import { CallMetrics } from "./call-metrics.ts";
import { DecisionMetrics } from "./decision-metrics.ts";
import { DomainMetrics } from "./domain-metrics.ts";
import { counters, zeros } from "./lazy-metrics.ts";
import { registerState, type State } from "./state-metrics.ts";

let processRegistry: Registry | undefined;

/**
 * The library's metrics of the Node.js process, created once for all services in the process: the library's observers of the event loop and
 * of garbage collection cannot be stopped, and keep their registry in memory.
 */
function processMetrics(): Registry {
  if (processRegistry === undefined) {
    processRegistry = new Registry();
    collectDefaultMetrics({ register: processRegistry });
  }
  return processRegistry;
}

/** The versions of the service, of Node.js, and of the database schema that the service uses. */
export interface Build {
  readonly version: string;
  readonly node: string;
  readonly schema: number;
}

/** The total number of verdicts, and the numbers of verdicts that are BLACKLISTED and UNKNOWN. */
export interface VerdictCounts {
  readonly count: number;
  readonly blacklisted: number;
  readonly unknown: number;
}

/** The metrics of the service. Label values come from this program, never from a caller's input. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #registers = [this.#registry];
  readonly #processRegistry = processMetrics();
  readonly calls = new CallMetrics(this.#registers);
  readonly domain = new DomainMetrics(this.#registers);
  readonly decisions = new DecisionMetrics(this.#registers);
  readonly #authentications = zeros(AUTH_OUTCOMES);
  readonly #verdicts = { blacklisted: 0, not_blacklisted: 0, unknown: 0 };

  constructor({ version, node, schema }: Build) {
    const registers = this.#registers;
    new Gauge({
      name: "tokenblacklist_build_info",
      help: "Always 1. The labels are the version, the version of Node.js, and the version of the database schema.",
      labelNames: ["version", "node", "schema"],
      registers,
    }).set({ version, node, schema }, 1);
    counters(registers, {
      name: "tokenblacklist_authentications_total",
      help: "Authentications of calls, by outcome; none if authentication is off.",
      label: "outcome",
      values: () => this.#authentications,
    });
    counters(registers, {
      name: "tokenblacklist_verdicts_total",
      help: "Verdicts returned by IsBlacklisted and StreamChecks, by verdict.",
      label: "verdict",
      values: () => this.#verdicts,
    });
  }

  authenticated(outcome: AuthOutcome): void {
    this.#authentications[outcome]++;
  }

  /** Counts the verdicts of one response. */
  answered({ count, blacklisted, unknown }: VerdictCounts): void {
    this.#verdicts.blacklisted += blacklisted;
    this.#verdicts.unknown += unknown;
    this.#verdicts.not_blacklisted += count - blacklisted - unknown;
  }

  /** Exports `state`, which is read at each scrape. To be called once. */
  exportState(state: State): void {
    registerState(this.#registers, state);
  }

  /** All metrics in Prometheus's text format, with their content type. */
  async render(): Promise<{ contentType: string; text: string }> {
    const texts = await Promise.all([this.#processRegistry.metrics(), this.#registry.metrics()]);
    return { contentType: this.#registry.contentType, text: texts.join("\n") };
  }
}
