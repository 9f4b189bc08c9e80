import type { EpochMs } from "../../src/entry.ts";
import { KEYS_RELOAD_MS, TLS_RELOAD_MS } from "../../src/limits.ts";
import { type Clock, systemClock } from "../../src/time/clock.ts";

/** The system's clock, except that a test says when it is time to look at files again, and can let hours pass. */
export class ImpatientClock implements Clock {
  /** Others wait as long as the reload does; they look at the time, and go on waiting. */
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

  /** So much time passes at once; no timer notices. */
  skip(ms: number): void {
    this.#aheadMs += ms;
  }
}
