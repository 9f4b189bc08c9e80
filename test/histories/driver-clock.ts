import type { Instant } from "./history.ts";

/** The machine's monotonic clock, the same in all processes, in milliseconds. */
export function monotonic(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** The offset to it. */
export const CLOCK_OFFSET = Date.now() - monotonic();

/** Milliseconds since 1970 that never go back: the time base of a history. */
export function now(): Instant {
  return CLOCK_OFFSET + monotonic();
}
