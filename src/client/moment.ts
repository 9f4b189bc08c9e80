import { type EpochMs, MAX_EPOCH_MS } from "../entry.ts";
import type { Moment } from "./blacklist-client.ts";

/** Below it lies the year 1973 in milliseconds, or an `exp` of any year in seconds. */
const SMALLEST_MS = 100_000_000_000;

/** What is wrong with `moment`, or undefined. */
export function momentProblem(moment: unknown): string | undefined {
  const ms = moment instanceof Date ? moment.getTime() : moment;
  if (typeof ms !== "number" || Number.isNaN(ms)) return "must be a Date or milliseconds since 1970";
  if (ms < SMALLEST_MS) {
    return "lies before 1973: it must be in milliseconds, and the exp of a token is in seconds (exp * 1000)";
  }
  if (ms > MAX_EPOCH_MS) return "lies beyond the year 9999: it must be in milliseconds";
  return undefined;
}

/** Fractions rounded up, so that nothing ends early. For a moment that has no problem. */
export function toEpochMs(moment: Moment): EpochMs {
  return Math.ceil(moment instanceof Date ? moment.getTime() : moment) as EpochMs;
}
