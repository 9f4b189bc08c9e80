import { type Jti, jtiProblem } from "../entry.ts";
import { InvalidTokenError } from "./verify.ts";

// Validation of claims. Messages name the claim and the kind of its value, never the value.

/** The kind of a JSON value, or "absent" for undefined, worded to follow "is". */
export function kindOf(value: unknown): string {
  if (value === undefined) return "absent";
  if (value === null) return "null";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "string") return value === "" ? "empty" : "text";
  if (typeof value === "number") return Number.isFinite(value) ? "a number" : "an infinite number";
  return typeof value === "object" ? "an object" : "true or false";
}

/** Returns a claim that is a time, in seconds since 1970 with any fraction. Throws InvalidTokenError if it is not a finite number. */
export function numericDate(value: unknown, name: "exp" | "nbf" | "iat"): number {
  if (typeof value === "number" && Number.isFinite(value)) return value;
  throw new InvalidTokenError(
    `has a malformed ${name}: it is ${kindOf(value)}, and must be a number of seconds`,
  );
}

/** Returns the value if it is a valid jti. Otherwise throws InvalidTokenError, since a token with this jti could not be blacklisted. */
export function validJti(value: unknown): Jti {
  const problem = typeof value === "string" ? jtiProblem(value) : `is ${kindOf(value)}, and must be text`;
  if (problem !== undefined) throw new InvalidTokenError(`has a malformed jti: it ${problem}`);
  return value as Jti;
}

/** The error for an `iss` that is not among `known`, the issuers in `setting`. `message` is worded to follow "the token". */
export function issuerError(
  message: string,
  iss: unknown,
  { known, setting }: { known: Iterable<string>; setting: string },
): InvalidTokenError {
  if (typeof iss !== "string") return new InvalidTokenError(`${message}: its iss is ${kindOf(iss)}`);
  const difference = nearMiss(iss, known);
  if (difference === undefined) return new InvalidTokenError(message);
  return new InvalidTokenError(`${message}: its iss differs from ${setting} by ${difference}`);
}

/**
 * The difference between `value` and a text of `expected` if it is a common mistake, worded to follow "differs by"; undefined for any other
 * difference.
 */
export function nearMiss(value: string, expected: Iterable<string>): string | undefined {
  const texts = [...expected];
  const [difference] =
    Object.entries(COMMON_MISTAKES).find(([, normalize]) =>
      texts.some((text) => normalize(text) === normalize(value)),
    ) ?? [];
  return difference;
}

const COMMON_MISTAKES: Readonly<Record<string, (text: string) => string>> = {
  "a slash at its end": (text) => text.replace(/\/$/, ""),
  "white space around it": (text) => text.trim(),
  "capital and small letters": (text) => text.toLowerCase(),
  "http:// for https://": (text) => text.replace(/^http:/, "https:"),
};
