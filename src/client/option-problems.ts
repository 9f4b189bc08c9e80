import { type EpochMs, MAX_EPOCH_MS } from "../entry.ts";
import type { Violation } from "../errors.ts";
import { likelyName } from "../text/nearest-word.ts";
import type { CheckOptions, DateInput } from "./blacklist-client.ts";
import { ClientError } from "./client-error.ts";

// Options are validated at run time, for callers without a type checker. A "problem" is the text that follows the option's name in the
// error; it is undefined if the value is valid.

/** 1973 in milliseconds: smaller numbers are an `exp` in seconds. */
const MIN_DATE_MS = 100_000_000_000;

const CHECK_OPTIONS = namesOf<CheckOptions>({
  maxStalenessMs: true,
  atLeastRevision: true,
  expiresAt: true,
  timeoutMs: true,
  signal: true,
  failFast: true,
});

/** The names of an interface's options; the compiler requires all of them. */
export function namesOf<Options>(names: Readonly<Record<keyof Options, true>>): readonly string[] {
  return Object.keys(names);
}

/** A violation for each name in `given` that is not in `known`: a misspelt option would otherwise be ignored silently. */
export function unknownOptions(given: object, known: readonly string[]): Violation[] {
  return unknownNames(given, known).map((field) => {
    const meant = likelyName(field, known);
    const hint = meant === undefined ? `the options are ${known.join(", ")}` : `was ${meant} meant?`;
    return { field, description: `is no option: ${hint}` };
  });
}

/** A violation for each unknown name in `given` that resembles a name in `known`. Other unknown names are ignored: the object may come from elsewhere. */
export function misspeltFields(given: object, known: readonly string[]): Violation[] {
  return unknownNames(given, known).flatMap((field) => {
    const meant = likelyName(field, known);
    return meant === undefined ? [] : [{ field, description: `is not read: was ${meant} meant?` }];
  });
}

function unknownNames(given: object, known: readonly string[]): string[] {
  return Object.keys(given).filter((name) => !known.includes(name));
}

/** Throws a ClientError if a method's options are not an object, or have names that are not in `known`. */
export function expectOptions(given: unknown, known: readonly string[]): void {
  const error = optionNamesError(given, known);
  if (error !== undefined) throw error;
}

function optionNamesError(given: unknown, known: readonly string[]): ClientError | undefined {
  if (typeof given !== "object" || given === null) {
    return invalidArgument("options", `must be an object with any of ${known.join(", ")}`);
  }
  const unknown = unknownOptions(given, known);
  return unknown.length === 0 ? undefined : invalidArguments(unknown);
}

/** Throws a ClientError if there are any `violations` or `problems`. The keys of `problems` are field names. */
export function expectValid(
  problems: Readonly<Record<string, string | undefined>>,
  violations: readonly Violation[] = [],
): void {
  const all = [...violations];
  for (const [field, description] of Object.entries(problems)) {
    if (description !== undefined) all.push({ field, description });
  }
  if (all.length > 0) throw invalidArguments(all);
}

/** The error if `options` are invalid or have unknown names; undefined if they are valid. */
export function checkOptionsError(options: CheckOptions): ClientError | undefined {
  const error = optionNamesError(options, CHECK_OPTIONS);
  if (error !== undefined) return error;
  const { maxStalenessMs, atLeastRevision, expiresAt, timeoutMs, failFast } = options;
  if (maxStalenessMs !== undefined) {
    if (!(Number.isFinite(maxStalenessMs) && maxStalenessMs >= 0)) {
      return invalidArgument("maxStalenessMs", "must be a number of milliseconds, 0 or more");
    }
    if (atLeastRevision !== undefined) {
      return invalidArgument("maxStalenessMs", "cannot be given together with atLeastRevision");
    }
  }
  if (atLeastRevision !== undefined && (typeof atLeastRevision !== "string" || atLeastRevision === "")) {
    return invalidArgument("atLeastRevision", "must be a revision from the service");
  }
  const timeout = timeoutProblem(timeoutMs);
  if (timeout !== undefined) return invalidArgument("timeoutMs", timeout);
  const boolean = booleanProblem(failFast);
  if (boolean !== undefined) return invalidArgument("failFast", boolean);
  const date = optionalDateProblem(expiresAt);
  return date === undefined ? undefined : invalidArgument("expiresAt", date);
}

/** An absent value is valid. */
export function booleanProblem(value: unknown): string | undefined {
  return value === undefined || typeof value === "boolean" ? undefined : "must be true or false";
}

/** An absent value is valid. */
export function timeoutProblem(timeoutMs: unknown): string | undefined {
  return timeoutMs === undefined || (typeof timeoutMs === "number" && timeoutMs > 0)
    ? undefined
    : "must be a number of milliseconds, more than 0";
}

export function dateProblem(date: unknown): string | undefined {
  const ms = date instanceof Date ? date.getTime() : date;
  if (typeof ms !== "number" || Number.isNaN(ms)) return "must be a Date or milliseconds since 1970";
  if (ms < MIN_DATE_MS) {
    return "lies before 1973: it must be in milliseconds, and the exp of a token is in seconds (exp * 1000)";
  }
  if (ms > MAX_EPOCH_MS) return "lies beyond the year 9999: it must be in milliseconds";
  return undefined;
}

/** An absent value is valid. */
export function optionalDateProblem(date: unknown): string | undefined {
  return date === undefined ? undefined : dateProblem(date);
}

/** Milliseconds since 1970, rounded up so that no entry ends early. `date` must be valid. */
export function toEpochMs(date: DateInput): EpochMs {
  return Math.ceil(date instanceof Date ? date.getTime() : date) as EpochMs;
}

export function invalidArgument(field: string, description: string): ClientError {
  return invalidArguments([{ field, description }]);
}

export function invalidArguments(violations: readonly Violation[]): ClientError {
  const text = violations
    .slice(0, 10)
    .map(({ field, description }) => `${field}: ${description}`)
    .join("; ");
  const message = violations.length > 10 ? `${text}; and ${violations.length - 10} more` : text;
  return new ClientError("INVALID_ARGUMENT", message, { reason: "INVALID_REQUEST", violations });
}
