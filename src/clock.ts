// The global of this name is a getter, and every look at it takes longer.
import { performance } from "node:perf_hooks";
import type { EpochMs } from "./entry.ts";
import { MAX_TIMER_MS } from "./limits.ts";

/** The only source of time. Everything that waits or judges an expiry takes one, so that tests own time. */
export interface Clock {
  /** Wall-clock time in UTC, in milliseconds since 1970. May jump. */
  now(): EpochMs;
  /** Milliseconds since an arbitrary start; never goes back. For measuring how long something took. */
  monotonic(): number;
  /**
   * Calls `callback` once after `delayMs`, however long that is; if infinite, never. The returned function takes it back. Never keeps the
   * process alive.
   */
  schedule(delayMs: number, callback: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => Date.now() as EpochMs,
  monotonic: () => performance.now(),
  schedule(delayMs, callback) {
    if (delayMs > MAX_TIMER_MS) return scheduleFar(delayMs, callback);
    const timer = setTimeout(callback, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
};

/** A longer delay than a timer takes: in several of them. */
function scheduleFar(delayMs: number, callback: () => void): () => void {
  let cancel = () => {};
  cancel = systemClock.schedule(MAX_TIMER_MS, () => {
    cancel = systemClock.schedule(delayMs - MAX_TIMER_MS, callback);
  });
  return () => cancel();
}

/** `ms`, or the longest that a timer or a deadline may have. For whoever cannot use {@link Clock.schedule}. */
export function waitable(ms: number): number {
  return Math.min(ms, MAX_TIMER_MS);
}
