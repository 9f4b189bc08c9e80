import type { EpochMs } from "../entry.ts";
import type { Store } from "../store/store.ts";
import type { Clock } from "../time/clock.ts";

/** Interval at which the age of the oldest prunable entry is looked up. */
export const BACKLOG_LOOK_MS = 60_000;

interface Options {
  readonly store: Pick<Store, "oldestPrunable">;
  readonly clock: Clock;
  readonly leewayMs: number;
  readonly retentionMs: number;
}

/** Polls once a minute how long prunable entries have been waiting, whichever replica prunes, if any does. */
export class PruneBacklog {
  readonly #options: Options;
  /** When the oldest waiting entry became prunable. Null: no entry waits. Undefined: not known yet. */
  #since: EpochMs | null | undefined;
  #cancel = () => {};
  #stopped = false;

  constructor(options: Options) {
    this.#options = options;
  }

  /**
   * How long the oldest prunable entry has been waiting as of the last poll, in milliseconds; 0 if there is none, undefined before
   * the first successful poll.
   */
  get longestWaitMs(): number | undefined {
    if (this.#since === undefined) return undefined;
    return this.#since === null ? 0 : Math.max(0, this.#options.clock.now() - this.#since);
  }

  /** Polls, and schedules the next poll. */
  async start(): Promise<void> {
    const { store, clock, leewayMs, retentionMs } = this.#options;
    try {
      this.#since = (await store.oldestPrunable({ now: clock.now(), leewayMs, retentionMs })) ?? null;
    } catch {
      // Other parts report an unavailable database. The last value is kept: its age still grows.
    }
    if (!this.#stopped) this.#cancel = clock.schedule(BACKLOG_LOOK_MS, () => void this.start());
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }
}
