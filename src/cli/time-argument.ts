import type { Timestamp } from "@bufbuild/protobuf/wkt";
import type { EpochMs } from "../entry.ts";
import { parseDuration } from "../time/duration.ts";
import { UsageError } from "./errors.ts";

/** The fields of a protobuf Timestamp. */
export type TimeArgument = Pick<Timestamp, "seconds" | "nanos">;

export interface TimeArgumentSetup {
  readonly now: EpochMs;
  /** Whether a duration such as `1h` means in an hour, or an hour ago. */
  readonly durationsAre: "ahead" | "ago";
}

const RFC_3339 =
  /^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))$/;
const LOCAL_TIME = /^(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d(?::\d\d)?)(?:\.\d+)?)?$/;
const EPOCH_SECONDS = /^(\d{1,20})(?:\.(\d{1,9}))?$/;

// The years 1973 and 5138. A smaller number is probably a duration, and a larger number milliseconds since 1970.
const MIN_SECONDS = 100_000_000;
const MAX_SECONDS = 100_000_000_000;

/**
 * The time that `text` names, independent of when it is read: durations are rejected. Throws a {@link UsageError} that says what is
 * expected.
 */
export function parseAbsoluteTime(text: string): TimeArgument {
  const time = absoluteTime(text);
  if (time !== undefined) return time;
  throw new UsageError("must be a time such as 2030-01-31T12:00:00Z, or epoch seconds such as 1900000000");
}

function absoluteTime(text: string): TimeArgument | undefined {
  const epoch = EPOCH_SECONDS.exec(text);
  return epoch === null ? fromRfc3339(text) : fromEpoch(epoch[1] as string, epoch[2]);
}

/** The time that `text` names, a duration included. Throws a {@link UsageError} that says what is expected. */
export function parseTimeArgument(text: string, { now, durationsAre }: TimeArgumentSetup): TimeArgument {
  const time = absoluteTime(text);
  if (time !== undefined) return time;
  refuseSign(text, durationsAre);
  try {
    const distance = parseDuration(text);
    return fromMs(durationsAre === "ahead" ? now + distance : now - distance);
  } catch {
    throw new UsageError(
      "must be a time such as 2030-01-31T12:00:00Z, epoch seconds such as 1900000000, or a duration such as 1h",
    );
  }
}

function refuseSign(text: string, durationsAre: TimeArgumentSetup["durationsAre"]): void {
  const unsigned = /^[+-](\d+[a-z]+)$/.exec(text)?.[1];
  if (unsigned === undefined) return;
  const meaning = durationsAre === "ahead" ? "that long from now" : "that long ago";
  throw new UsageError(`must be without a sign: ${unsigned} already means ${meaning}`);
}

/** Throws for a date without a time, or a time without a zone, which would mean another time on another machine. */
function refuseLocalTime(text: string): void {
  const [, date, time] = LOCAL_TIME.exec(text) ?? [];
  if (date === undefined) return;
  const fullTime = time === undefined ? "00:00:00" : `${time}:00`.slice(0, 8);
  if (!isExistingTime(date, fullTime)) throw new UsageError("is not an existing date and time");
  const lacks = time === undefined ? "has no time and no time zone" : "has no time zone";
  throw new UsageError(`${lacks}: in UTC that is ${date}T${fullTime}Z`);
}

/** Date.parse alone would accept the 30th of February, as the 2nd of March. */
function isExistingTime(date: string, time: string): boolean {
  const ms = Date.parse(`${date}T${time}Z`);
  return !Number.isNaN(ms) && new Date(ms).toISOString().startsWith(`${date}T${time}`);
}

function fromEpoch(whole: string, fraction: string | undefined): TimeArgument {
  const seconds = Number(whole);
  if (seconds >= MAX_SECONDS) {
    throw new UsageError(`looks like milliseconds: use epoch seconds, perhaps ${Math.ceil(seconds / 1000)}`);
  }
  if (seconds < MIN_SECONDS) {
    throw new UsageError(
      `is too small for epoch seconds: for a duration add a unit, such as ${seconds}s; for an early time use RFC 3339`,
    );
  }
  return { seconds: BigInt(seconds), nanos: nanosOf(fraction) };
}

function fromRfc3339(text: string): TimeArgument | undefined {
  const match = RFC_3339.exec(text);
  if (match === null) {
    refuseLocalTime(text);
    return undefined;
  }
  const [, date, time, fraction, sign, hours, minutes] = match;
  if (!isExistingTime(date as string, time as string))
    throw new UsageError("is not an existing date and time");
  const ms = Date.parse(`${date}T${time}Z`);
  const offset = sign === undefined ? 0 : (Number(hours) * 60 + Number(minutes)) * 60;
  return { seconds: BigInt(ms / 1000 - (sign === "-" ? -offset : offset)), nanos: nanosOf(fraction) };
}

function fromMs(ms: number): TimeArgument {
  const seconds = Math.floor(ms / 1000);
  return { seconds: BigInt(seconds), nanos: (ms - seconds * 1000) * 1_000_000 };
}

function nanosOf(fraction = ""): number {
  return Number(fraction.padEnd(9, "0"));
}
