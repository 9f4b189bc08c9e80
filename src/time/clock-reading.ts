import type { Clock } from "./clock.ts";

/** A reading of both local clocks. */
export interface ClockReading {
  readonly monotonic: number;
  readonly wall: number;
}

export function readClocks(clock: Clock): ClockReading {
  return { monotonic: clock.monotonic(), wall: clock.now() };
}

/** A lower bound of the milliseconds since `instant`; see {@link elapsedBetween}. */
export function elapsedSince(instant: ClockReading, clock: Clock): number {
  return elapsedBetween(instant, readClocks(clock));
}

/**
 * A lower bound of the milliseconds between two readings. The monotonic clock may stop while a virtual machine is suspended, and the wall
 * clock may be set back, so the larger difference counts: it is safer to assume that more time has passed, and data is staler.
 */
export function elapsedBetween(earlier: ClockReading, later: ClockReading): number {
  return Math.max(later.monotonic - earlier.monotonic, later.wall - earlier.wall);
}
