import type { Clock } from "./clock.ts";

/** A moment, by both of this machine's clocks. */
export interface Instant {
  readonly monotonic: number;
  readonly wall: number;
}

export function instantOf(clock: Clock): Instant {
  return { monotonic: clock.monotonic(), wall: clock.now() };
}

/**
 * Milliseconds since `instant`, at least. The monotonic clock stands still while a virtual machine is suspended, and the
 * wall clock may be set back: whichever says more is believed, since the more time has passed the staler is what was known.
 */
export function elapsedSince({ monotonic, wall }: Instant, clock: Clock): number {
  return Math.max(clock.monotonic() - monotonic, clock.now() - wall);
}
