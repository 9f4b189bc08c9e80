import type { Duration, Timestamp } from "@bufbuild/protobuf/wkt";
import { type EpochMs, MAX_EPOCH_MS } from "../entry.ts";

/** The bounds of protobuf's timestamps, the years 1 and 9999, and of its durations, 10,000 years. */
const MIN_SECONDS = -62_135_596_800n;
const MAX_SECONDS = 253_402_300_799n;
const MAX_DURATION_SECONDS = 315_576_000_000n;

/**
 * Milliseconds of a protobuf timestamp, with fractions rounded up so that no entry expires early. Throws a RangeError whose message states
 * the valid range.
 */
export function fromTimestamp({ seconds, nanos }: Timestamp): EpochMs {
  if (seconds < MIN_SECONDS || seconds > MAX_SECONDS || nanos < 0 || nanos > 999_999_999) {
    throw new RangeError("must be a timestamp between the years 1 and 9999");
  }
  const ms = Number(seconds) * 1000 + Math.ceil(nanos / 1_000_000);
  if (ms > MAX_EPOCH_MS)
    throw new RangeError("must not lie beyond the year 9999, fractions of a millisecond rounded up");
  return ms as EpochMs;
}

/** The timestamp of `ms`, in milliseconds since 1970. */
export function toTimestamp(ms: EpochMs): { seconds: bigint; nanos: number } {
  const seconds = Math.floor(ms / 1000);
  return { seconds: BigInt(seconds), nanos: (ms - seconds * 1000) * 1_000_000 };
}

/**
 * Milliseconds of a duration, with fractions rounded down so that no result is staler than requested. Throws a RangeError if the duration
 * is negative or too long.
 */
export function fromDuration({ seconds, nanos }: Duration): number {
  if (seconds < 0n || nanos < 0 || nanos > 999_999_999) {
    throw new RangeError("must be a duration that is not negative");
  }
  if (seconds > MAX_DURATION_SECONDS) {
    throw new RangeError(`must be at most ${MAX_DURATION_SECONDS} s, which are 10,000 years`);
  }
  return Number(seconds) * 1000 + Math.floor(nanos / 1_000_000);
}
