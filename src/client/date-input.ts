import { type EpochMs, MAX_EPOCH_MS } from "../entry.ts";
import type { DateInput } from "./blacklist-client.ts";

/** 1973 in milliseconds: smaller numbers are an `exp` in seconds. */
const SMALLEST_MS = 100_000_000_000;

/** What is wrong with `date`; undefined: nothing. */
export function dateProblem(date: unknown): string | undefined {
  const ms = date instanceof Date ? date.getTime() : date;
  if (typeof ms !== "number" || Number.isNaN(ms)) return "must be a Date or milliseconds since 1970";
  if (ms < SMALLEST_MS) {
    return "lies before 1973: it must be in milliseconds, and the exp of a token is in seconds (exp * 1000)";
  }
  if (ms > MAX_EPOCH_MS) return "lies beyond the year 9999: it must be in milliseconds";
  return undefined;
}

/** Rounds up, so that no entry ends early. `date` must be valid. */
export function toEpochMs(date: DateInput): EpochMs {
  return Math.ceil(date instanceof Date ? date.getTime() : date) as EpochMs;
}
