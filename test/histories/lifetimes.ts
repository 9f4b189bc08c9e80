import type { Choices } from "./choices.ts";
import { now } from "./driver-clock.ts";
import type { Instant } from "./history.ts";

const HOUR_MS = 3_600_000;
const SHORT_MS = { from: 200, to: 900 };
const FILLER_MS = 120_000;

// Whole milliseconds, as stored, so that results can be compared.

/** Beyond the end of every history, and usually distinct, so that later ones extend earlier ones. */
export function longLife(choices: Choices): Instant {
  return Math.ceil(now() + HOUR_MS + choices.whole(0, HOUR_MS));
}

/** Shorter than the history. */
export function shortLife(choices: Choices): Instant {
  return Math.ceil(now() + choices.between(SHORT_MS.from, SHORT_MS.to));
}

/** Longer than a history, and short enough that entries of storms do not accumulate. */
export function fillerLife(): Instant {
  return Math.ceil(now() + FILLER_MS);
}
