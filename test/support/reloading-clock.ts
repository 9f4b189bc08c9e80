import { KEYS_RELOAD_MS } from "../../src/auth/jwks-cache.ts";
import type { EpochMs } from "../../src/entry.ts";
import { TLS_RELOAD_MS } from "../../src/limits.ts";
import { type Clock, systemClock } from "../../src/time/clock.ts";

/** The system clock, except that a test triggers the reload of files, and can let hours pass. */
export class ReloadingClock implements Clock {
  /** Other timers of the reload's delay also run; they check the time and reschedule. */
  readonly #due = new Set<() => void>();
  #aheadMs = 0;

  now(): EpochMs {
    return (systemClock.now() + this.#aheadMs) as EpochMs;
  }

  monotonic(): number {
    return systemClock.monotonic() + this.#aheadMs;
  }

  schedule(delayMs: number, callback: () => void): () => void {
    if (delayMs !== TLS_RELOAD_MS && delayMs !== KEYS_RELOAD_MS) {
      return systemClock.schedule(delayMs, callback);
    }
    this.#due.add(callback);
    return () => this.#due.delete(callback);
  }

  lookNow(): void {
    const due = [...this.#due];
    this.#due.clear();
    for (const callback of due) callback();
  }

  /** Advances the clocks without running timers. */
  skip(ms: number): void {
    this.#aheadMs += ms;
  }
}
