import type { Logger } from "pino";
import { MAX_PRUNE_COUNT } from "../limits.ts";
import type { Clock } from "../time/clock.ts";
import type { Blacklist } from "./blacklist.ts";
import type { Observer } from "./observer.ts";

interface Options {
  readonly blacklist: Blacklist;
  readonly clock: Clock;
  readonly log: Logger;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly observer?: Observer;
}

/** Prunes at an interval with 10 % jitter, so that replicas do not prune at the same time. */
export class PruneSchedule {
  readonly #options: Options;
  #cancel = () => {};
  #stopped = false;
  #running: Promise<void> = Promise.resolve();

  constructor(options: Options) {
    this.#options = options;
  }

  /** Schedules the next run after about `intervalMs`; 0: never. */
  start(intervalMs: number): void {
    const { clock, random } = this.#options;
    if (this.#stopped || intervalMs === 0) return;
    this.#cancel = clock.schedule(intervalMs * (0.9 + random() * 0.2), () => {
      this.#running = this.#prune().finally(() => this.start(intervalMs));
    });
  }

  async #prune(): Promise<void> {
    const { blacklist, clock, log, observer } = this.#options;
    const began = clock.monotonic();
    let pruned = 0;
    let succeeded = false;
    try {
      for (let hasMore = true; hasMore && !this.#stopped; ) {
        const task = { limit: MAX_PRUNE_COUNT, dryRun: false, expiredBefore: undefined };
        const result = await blacklist.prune(task);
        pruned += result.count;
        hasMore = result.hasMore;
      }
      succeeded = true;
      log.info({ pruned, duration_ms: Math.round(clock.monotonic() - began) }, "pruned expired entries");
    } catch (error) {
      log.error({ err: error, pruned }, "pruning failed: expired entries stay until it succeeds");
    } finally {
      observer?.pruneEnded({ at: clock.now(), succeeded });
    }
  }

  /** Waits until the current chunk is done, and schedules no further run. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel();
    await this.#running;
  }
}
