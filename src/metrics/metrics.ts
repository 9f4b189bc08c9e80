import { collectDefaultMetrics, Gauge, Registry } from "prom-client";
import { AUTH_OUTCOMES, type AuthOutcome } from "../auth/authentication-metrics.ts";
import { CallMetrics } from "./call-metrics.ts";
import { DecisionMetrics } from "./decision-metrics.ts";
import { DomainMetrics } from "./domain-metrics.ts";
import { counters, zeros } from "./lazy-metrics.ts";
import { registerState, type State } from "./state-metrics.ts";
import { VerdictMetrics } from "./verdict-metrics.ts";

let processRegistry: Registry | undefined;

/**
 * The library's metrics of the Node.js process, created once for all services in the process: its observers of the event loop and of
 * garbage collection cannot be stopped, and keep alive everything in the same registry.
 */
function processMetrics(): Registry {
  if (processRegistry === undefined) {
    processRegistry = new Registry();
    collectDefaultMetrics({ register: processRegistry });
  }
  return processRegistry;
}

/** Build information. */
export interface Build {
  readonly version: string;
  /** The version of Node.js. */
  readonly node: string;
  /** The version of the database schema that this build uses. */
  readonly schema: number;
}

/** The metrics of the service. Label values come from this program, never from a caller's input. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #registers = [this.#registry];
  readonly #processRegistry = processMetrics();
  readonly calls = new CallMetrics(this.#registers);
  readonly domain = new DomainMetrics(this.#registers);
  readonly decisions = new DecisionMetrics(this.#registers);
  readonly verdicts = new VerdictMetrics(this.#registers);
  readonly #authentications = zeros(AUTH_OUTCOMES);

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
  }

  /** Counts one authentication. */
  authenticated(outcome: AuthOutcome): void {
    this.#authentications[outcome]++;
  }

  /** Exports the state of these parts, read at each scrape. To be called once. */
  exportState(state: State): void {
    registerState(this.#registers, state);
  }

  /** All metrics in Prometheus's text format, with their content type. */
  async render(): Promise<{ contentType: string; text: string }> {
    const texts = await Promise.all([this.#processRegistry.metrics(), this.#registry.metrics()]);
    return { contentType: this.#registry.contentType, text: texts.join("\n") };
  }
}
