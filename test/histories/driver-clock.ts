import type { Instant } from "./history.ts";

const began = Date.now() - performance.now();

/** Milliseconds since 1970 that never go back: what a history is timed by. */
export function now(): Instant {
  return began + performance.now();
}
