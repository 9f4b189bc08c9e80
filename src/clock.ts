// The global of this name is a getter, and every look at it takes longer.
import { performance } from "node:perf_hooks";
import type { EpochMs } from "./entry.ts";

/** The only source of time. Everything that waits or judges an expiry takes one, so that tests own time. */
export interface Clock {
  /** Wall-clock time in UTC, in milliseconds since 1970. May jump. */
  now(): EpochMs;
  /** Milliseconds since an arbitrary start; never goes back. For measuring how long something took. */
  monotonic(): number;
  /** Calls `callback` once after `delayMs`. The returned function takes it back. Never keeps the process alive. */
  schedule(delayMs: number, callback: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => Date.now() as EpochMs,
  monotonic: () => performance.now(),
  schedule(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
};
