import type { Violation } from "../errors.ts";
import type { CheckOptions } from "./blacklist-client.ts";
import { ClientError } from "./client-error.ts";
import { dateProblem } from "./date-input.ts";
import { callOptionsProblems, namesOf } from "./known-options.ts";

const NAMES = namesOf<CheckOptions>({
  maxStalenessMs: true,
  atLeastRevision: true,
  expiresAt: true,
  timeoutMs: true,
  signal: true,
  failFast: true,
});

/** The error of invalid `options`, or undefined. Checked at run time for callers without a type checker. */
export function checkOptionsProblem(options: CheckOptions): ClientError | undefined {
  const unknown = callOptionsProblems(options, NAMES);
  if (unknown.length > 0) return invalidAll(unknown);
  const { maxStalenessMs, atLeastRevision, expiresAt, timeoutMs, failFast } = options;
  if (maxStalenessMs !== undefined) {
    if (!(Number.isFinite(maxStalenessMs) && maxStalenessMs >= 0)) {
      return invalid("maxStalenessMs", "must be a number of milliseconds, 0 or more");
    }
    if (atLeastRevision !== undefined)
      return invalid("maxStalenessMs", "cannot be asked for beside atLeastRevision");
  }
  if (atLeastRevision !== undefined && (typeof atLeastRevision !== "string" || atLeastRevision === "")) {
    return invalid("atLeastRevision", "must be text that the service gave");
  }
  if (timeoutMs !== undefined) {
    const problem = timeoutProblem(timeoutMs);
    if (problem !== undefined) return invalid("timeoutMs", problem);
  }
  if (failFast !== undefined) {
    const problem = booleanProblem(failFast);
    if (problem !== undefined) return invalid("failFast", problem);
  }
  if (expiresAt !== undefined) {
    const problem = dateProblem(expiresAt);
    if (problem !== undefined) return invalid("expiresAt", problem);
  }
  return undefined;
}

export function booleanProblem(value: unknown): string | undefined {
  return value === undefined || typeof value === "boolean" ? undefined : "must be true or false";
}

export function timeoutProblem(timeoutMs: unknown): string | undefined {
  return typeof timeoutMs === "number" && timeoutMs > 0
    ? undefined
    : "must be a number of milliseconds, more than 0";
}

export function invalid(field: string, description: string): ClientError {
  return invalidAll([{ field, description }]);
}

export function invalidAll(violations: readonly Violation[]): ClientError {
  const text = violations
    .slice(0, 10)
    .map(({ field, description }) => `${field}: ${description}`)
    .join("; ");
  const message = violations.length > 10 ? `${text}; and ${violations.length - 10} more` : text;
  return new ClientError("INVALID_ARGUMENT", message, { reason: "INVALID_REQUEST", violations });
}
