import { MAX_KEY_BYTES } from "./limits.ts";
import { isRawToken } from "./raw-token.ts";

declare const brand: unique symbol;
type Branded<T, Name extends string> = T & { readonly [brand]: Name };
declare const isJti: unique symbol;

/** Identifies an entry: 1 to 255 bytes of well-formed UTF-8, compared byte for byte. Only `token-identity.ts` knows that it is a jti. */
export type EntryKey = Branded<string, "EntryKey">;

/** A token's identifier, and the key of its entry. Has no NUL. Is not a raw token, unless an older version or an import stored it. */
export type Jti = EntryKey & { readonly [isJti]: true };

/** Whole milliseconds since 1970-01-01T00:00:00Z. */
export type EpochMs = Branded<number, "EpochMs">;

/** The last millisecond of the year 9999, the latest time of a protobuf Timestamp. */
export const MAX_EPOCH_MS = 253_402_300_799_999 as EpochMs;

/** The times of an entry. Each is only ever changed to a later one. */
export interface EntryTimes {
  /** When the token itself expires (its `exp`), without leeway. */
  readonly expiresAt: EpochMs;
}

/** An entry to be written. */
export interface NewEntry extends EntryTimes {
  readonly key: EntryKey;
  /** Free text for people, at most 512 bytes; empty if none was given. */
  readonly reason: string;
  /** The caller's name, at most 255 bytes; empty if callers are not authenticated. */
  readonly revokedBy: string;
}

/** An entry of the blacklist. */
export interface Entry extends NewEntry {
  /** When its token was first blacklisted, by the database's clock; null if unknown. */
  readonly createdAt: EpochMs | null;
}

/** The outcome for one token of a Blacklist call. */
export type Outcome = "created" | "already-blacklisted" | "extended";

/** The problem of a raw token in place of a jti. */
export const IS_RAW_TOKEN = "must be a token's jti claim, not the token itself";

/** Why `text` is not a valid jti; undefined if it is. */
export function jtiProblem(text: string): string | undefined {
  // Most raw tokens are also too long for a jti, but that message would not say what to do.
  return isRawToken(text) ? IS_RAW_TOKEN : storedJtiProblem(text);
}

/** {@link jtiProblem} for a jti that may be stored already: older versions and imports have stored raw tokens, too. */
export function storedJtiProblem(text: string): string | undefined {
  if (text.length === 0) return "must not be empty";
  return textProblem(text, MAX_KEY_BYTES);
}

/** Why `text` is not valid as a string of at most `maxBytes` bytes; undefined if it is. */
export function textProblem(text: string, maxBytes: number): string | undefined {
  // A UTF-16 unit takes at most three bytes of UTF-8, so the bytes of a short string are not counted.
  if (text.length * 3 > maxBytes && Buffer.byteLength(text) > maxBytes) {
    return `must be at most ${maxBytes} bytes of UTF-8`;
  }
  // A lone surrogate would be stored as U+FFFD, so that different strings would become equal.
  if (!text.isWellFormed()) return "must be well-formed Unicode";
  if (text.includes("\0")) return "must not contain NUL";
  return undefined;
}

/** Parses a {@link Jti}. Throws a RangeError that states the problem. */
export function parseJti(text: string): Jti {
  const problem = jtiProblem(text);
  if (problem !== undefined) throw new RangeError(`jti ${problem}`);
  return text as Jti;
}
