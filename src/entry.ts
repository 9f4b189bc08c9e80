import { MAX_JTI_BYTES } from "./limits.ts";
import { isRawToken } from "./raw-token.ts";

declare const brand: unique symbol;
type Branded<T, Name extends string> = T & { readonly [brand]: Name };

/**
 * A token's identifier: 1 to 255 bytes of well-formed UTF-8 without NUL, compared byte for byte. What comes from a caller is no raw
 * token either ({@link jtiProblem}); what older versions have stored may be one. See {@link parseJti}.
 */
export type Jti = Branded<string, "Jti">;

/** Milliseconds since 1970-01-01T00:00:00Z, a whole number. */
export type EpochMs = Branded<number, "EpochMs">;

/** The last millisecond of the year 9999, the last that a protobuf Timestamp can name. */
export const MAX_EPOCH_MS = 253_402_300_799_999 as EpochMs;

/** What a caller asks to be blacklisted. */
export interface NewEntry {
  readonly jti: Jti;
  /** When the token expires by itself (its `exp`), without leeway. */
  readonly expiresAt: EpochMs;
  /** Free text for people, at most 512 bytes; empty when none was given. */
  readonly reason: string;
  /** Who asked, at most 255 bytes; empty while callers are not authenticated. */
  readonly revokedBy: string;
}

/** What stands in the blacklist. */
export interface Entry extends NewEntry {
  /** When it was first blacklisted, by the database's clock; null where unknown. */
  readonly createdAt: EpochMs | null;
}

/** What became of one token of a Blacklist call. */
export type Outcome = "created" | "already-blacklisted" | "extended";

/** What is wrong with a raw token in a jti's place. It holds nothing of the token. */
export const IS_RAW_TOKEN = "must be a token's jti claim, not the token itself";

/** What is wrong with `text` as a jti, or undefined when nothing is. */
export function jtiProblem(text: string): string | undefined {
  // First, since most tokens are too long for a jti as well, and that would not say what to do.
  return isRawToken(text) ? IS_RAW_TOKEN : storedJtiProblem(text);
}

/** The same of a jti that is stored already: older versions took raw tokens, too. */
export function storedJtiProblem(text: string): string | undefined {
  if (text.length === 0) return "must not be empty";
  return textProblem(text, MAX_JTI_BYTES);
}

/** What is wrong with `text` as a string of at most `maxBytes` bytes, or undefined when nothing is. */
export function textProblem(text: string, maxBytes: number): string | undefined {
  // A UTF-16 unit is at most three bytes of UTF-8: the common short string needs no counting.
  if (text.length * 3 > maxBytes && Buffer.byteLength(text) > maxBytes) {
    return `must be at most ${maxBytes} bytes of UTF-8`;
  }
  // A lone surrogate would be stored as U+FFFD, and two different strings would become one.
  if (!text.isWellFormed()) return "must be well-formed Unicode";
  if (text.includes("\0")) return "must not contain NUL";
  return undefined;
}

/** `text` as a {@link Jti}. Throws a RangeError that says what is wrong with it. */
export function parseJti(text: string): Jti {
  const problem = jtiProblem(text);
  if (problem !== undefined) throw new RangeError(`jti ${problem}`);
  return text as Jti;
}
