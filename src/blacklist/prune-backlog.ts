import type { Clock } from "../clock.ts";
import type { EpochMs } from "../entry.ts";
import { BACKLOG_LOOK_MS } from "../limits.ts";
import type { Store } from "../store/store.ts";

interface Options {
  readonly store: Pick<Store, "oldestPrunable">;
  readonly clock: Clock;
  readonly leewayMs: number;
  readonly retentionMs: number;
}

/** Looks once a minute how long what could be pruned has been waiting for it, whoever prunes: this replica, another one, or nobody. */
export class PruneBacklog {
  readonly #options: Options;
  /** Null: nothing waits. Undefined: it is not known yet. */
  #since: EpochMs | null | undefined;
  #cancel = () => {};
  #stopped = false;

  constructor(options: Options) {
    this.#options = options;
  }

  /** For how long the entry has waited that has done so longest, as of the last look; 0 where there is none, undefined before the first. */
  get oldestMs(): number | undefined {
    if (this.#since === undefined) return undefined;
    return this.#since === null ? 0 : Math.max(0, this.#options.clock.now() - this.#since);
  }

  /** The first look; the others follow by themselves. */
  async start(): Promise<void> {
    const { store, clock, leewayMs, retentionMs } = this.#options;
    try {
      this.#since = (await store.oldestPrunable({ now: clock.now(), leewayMs, retentionMs })) ?? null;
    } catch {
      // The database is away, as others say loudly: what was seen last has not become younger.
    }
    if (!this.#stopped) this.#cancel = clock.schedule(BACKLOG_LOOK_MS, () => void this.start());
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }
}
