import type { EpochMs } from "../entry.ts";
import type { Store } from "../store/store.ts";
import type { Clock } from "../time/clock.ts";

export const BACKLOG_POLL_MS = 60_000;

interface Options {
  readonly store: Pick<Store, "oldestPrunable">;
  readonly clock: Clock;
  readonly leewayMs: number;
  readonly retentionMs: number;
}

/** Polls once a minute how long prunable entries have been waiting to be pruned, by this replica or another. */
export class PruneBacklog {
  readonly #options: Options;
  /** When the entry that has been prunable for longest became prunable. Null: there is none. Undefined: not known yet. */
  #waitsSince: EpochMs | null | undefined;
  #cancel = () => {};
  #stopped = false;

  constructor(options: Options) {
    this.#options = options;
  }

  /**
   * For how long the entry that has been prunable for longest has been prunable; 0 if no entry is prunable. As of the last successful poll;
   * undefined before the first.
   */
  get longestWaitMs(): number | undefined {
    if (this.#waitsSince === undefined) return undefined;
    return this.#waitsSince === null ? 0 : Math.max(0, this.#options.clock.now() - this.#waitsSince);
  }

  start(): void {
    void this.#poll();
  }

  async #poll(): Promise<void> {
    const { store, clock, leewayMs, retentionMs } = this.#options;
    try {
      this.#waitsSince = (await store.oldestPrunable({ now: clock.now(), leewayMs, retentionMs })) ?? null;
    } catch {
      // Other parts report an unavailable database. The last value is kept: its age still grows.
    }
    if (!this.#stopped) this.#cancel = clock.schedule(BACKLOG_POLL_MS, () => void this.#poll());
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }
}
