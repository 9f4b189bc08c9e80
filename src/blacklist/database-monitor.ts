import type { Logger } from "pino";
import { MAX_CLOCK_SKEW_MS } from "../limits.ts";
import type { DatabaseState } from "../store/store.ts";
import type { Clock } from "../time/clock.ts";
import type { ClockBounds } from "../time/clock-bounds.ts";

/** Interval of probes while the database is available. */
export const DATABASE_PROBE_MS = 1000;
/** Interval of probes while the database is unavailable or read-only. */
export const DATABASE_PROBE_WHILE_DOWN_MS = 250;

interface Options {
  readonly probe: () => Promise<DatabaseState>;
  readonly clock: Clock;
  /** Receives the database's clock from every probe. */
  readonly clockBounds: ClockBounds;
  readonly log: Logger;
  readonly onChange: (healthy: boolean) => void;
}

/**
 * Probes whether the database is reachable and takes writes, once a second, and more often while it is down; reports every change. If
 * the service was started before its database, a probe opens the store.
 */
export class DatabaseMonitor {
  readonly #options: Options;
  #healthy: boolean | undefined;
  #lastProblem: string | undefined;
  #skewed = false;
  #cancel = () => {};
  #stopped = false;

  constructor(options: Options) {
    this.#options = options;
  }

  /** Sends the first probe and schedules further probes. Resolves when the first has succeeded or failed. */
  async start(): Promise<void> {
    await this.#probe();
  }

  async #probe(): Promise<void> {
    const { probe, clock, clockBounds } = this.#options;
    let problem: unknown;
    try {
      const sent = clock.now();
      const state = await probe();
      clockBounds.record(state.clock, sent);
      this.#compareClocks(clockBounds.skewMs);
      if (!state.writable) problem = new Error("the database is read-only");
    } catch (error) {
      problem = error;
    }
    if (this.#stopped) return;
    this.#report(problem);
    this.#cancel = clock.schedule(
      this.#healthy ? DATABASE_PROBE_MS : DATABASE_PROBE_WHILE_DOWN_MS,
      () => void this.#probe(),
    );
  }

  #report(problem: unknown): void {
    const { log, onChange } = this.#options;
    const healthy = problem === undefined;
    const text = healthy ? undefined : String(problem);
    if (!healthy && text !== this.#lastProblem)
      log.error({ err: problem }, "not serving: the database is unavailable");
    if (healthy && this.#healthy === false) log.info("serving again: the database is back");
    this.#lastProblem = text;
    if (healthy === this.#healthy) return;
    this.#healthy = healthy;
    onChange(healthy);
  }

  #compareClocks(skewMs: number): void {
    const skewed = Math.abs(skewMs) > MAX_CLOCK_SKEW_MS;
    if (skewed && !this.#skewed) {
      this.#options.log.error(
        { skew_ms: Math.round(skewMs) },
        "the database's clock and this machine's differ: nothing is pruned until they agree",
      );
    }
    if (!skewed && this.#skewed) this.#options.log.info("the clocks agree again");
    this.#skewed = skewed;
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }
}
