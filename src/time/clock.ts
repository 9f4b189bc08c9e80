// The global `performance` is a getter, which is slower.
import { performance } from "node:perf_hooks";
import type { EpochMs } from "../entry.ts";
import { MAX_TIMER_MS } from "../limits.ts";

/** The only source of time. All code that waits or judges an expiry takes a clock, so that tests control time. */
export interface Clock {
  /** Wall-clock time in UTC, in milliseconds since 1970. May jump. */
  now(): EpochMs;
  /** Milliseconds since an arbitrary start; never decreases. For measuring durations. */
  monotonic(): number;
  /**
   * Calls `callback` once after `delayMs`, of any length; never if it is infinite. The returned function cancels the call. Does not keep
   * the process alive.
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

/** Schedules a delay beyond a timer's range, by several timers in succession. */
function scheduleFar(delayMs: number, callback: () => void): () => void {
  let cancel = () => {};
  cancel = systemClock.schedule(MAX_TIMER_MS, () => {
    cancel = systemClock.schedule(delayMs - MAX_TIMER_MS, callback);
  });
  return () => cancel();
}

/** One reading of {@link Clock.monotonic} and {@link Clock.now}. */
export interface ClockReading {
  readonly monotonic: number;
  readonly wall: EpochMs;
}

export function readClocks(clock: Clock): ClockReading {
  return { monotonic: clock.monotonic(), wall: clock.now() };
}

/** {@link elapsedBetween} `reading` and now. */
export function elapsedSince(reading: ClockReading, clock: Clock): number {
  return elapsedBetween(reading, readClocks(clock));
}

/**
 * The milliseconds between two readings: the larger difference, because the monotonic clock may stop while a virtual machine is suspended,
 * and the wall clock may be set back. It is safer to assume that data is staler.
 */
export function elapsedBetween(earlier: ClockReading, later: ClockReading): number {
  return Math.max(later.monotonic - earlier.monotonic, later.wall - earlier.wall);
}

/** `ms`, limited to the longest delay of a timer or deadline. For code that cannot use {@link Clock.schedule}. */
export function clampedToTimer(ms: number): number {
  return Math.min(ms, MAX_TIMER_MS);
}
