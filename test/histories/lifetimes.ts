import type { Choices } from "./choices.ts";
import { now } from "./driver-clock.ts";
import type { Instant } from "./history.ts";

const HOUR_MS = 3_600_000;
const SHORT_MS = { from: 200, to: 900 };
const FILLER_MS = 120_000;

// Whole milliseconds, as they are stored: what comes back can be compared.

/** Beyond the end of any history, and mostly not the same twice: the later ones extend the earlier. */
export function longLife(choices: Choices): Instant {
  return Math.ceil(now() + HOUR_MS + choices.whole(0, HOUR_MS));
}

/** Over before the history is. */
export function shortLife(choices: Choices): Instant {
  return Math.ceil(now() + choices.between(SHORT_MS.from, SHORT_MS.to));
}

/** Longer than a history, and short enough that what storms leave behind does not pile up. */
export function fillerLife(): Instant {
  return Math.ceil(now() + FILLER_MS);
}
