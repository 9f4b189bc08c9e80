import type { Clock } from "./clock.ts";

/** A moment, by both of this machine's clocks. */
export interface Instant {
  readonly monotonic: number;
  readonly wall: number;
}

export function instantOf(clock: Clock): Instant {
  return { monotonic: clock.monotonic(), wall: clock.now() };
}

/** Milliseconds since `instant`, at least: see {@link elapsedBetween}. */
export function elapsedSince(instant: Instant, clock: Clock): number {
  return elapsedBetween(instant, instantOf(clock));
}

/**
 * Milliseconds between two moments, at least. The monotonic clock stands still while a virtual machine is suspended, and the
 * wall clock may be set back: whichever says more is believed, since the more time has passed the staler is what was known.
 */
export function elapsedBetween(earlier: Instant, later: Instant): number {
  return Math.max(later.monotonic - earlier.monotonic, later.wall - earlier.wall);
}
