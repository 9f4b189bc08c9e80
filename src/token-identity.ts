import { type EntryKey, type EntryTimes, type EpochMs, type Jti, jtiProblem } from "./entry.ts";
import { isRawToken } from "./raw-token.ts";

// What identifies a token, which entries may blacklist it, and when they do. All other parts handle keys and times without knowing what
// they stand for.

/** What identifies a token that is checked. */
export type TokenIdentity = Jti;

/** Entries of an index, or of one read of the database. */
export interface KnownEntries {
  /** When the entry with this key expires, in milliseconds since 1970; 0 if there is no such entry. */
  expiryOf(key: EntryKey): number;
}

/** The entries that one read of the database has found, by key. */
export function entriesFound(found: ReadonlyMap<string, EntryTimes>): KnownEntries {
  return { expiryOf: (key) => found.get(key)?.expiresAt ?? 0 };
}

/** Entries, and the time at which they are judged. */
export interface EntryLookup {
  readonly entries: KnownEntries;
  /** The current time by the slower of the service's clock and the database's. */
  readonly now: EpochMs;
  /** How long after its expiry an entry stays effective, in milliseconds. */
  readonly leewayMs: number;
}

/** The latest expiry of the entries that match `token`, in milliseconds since 1970; 0 if no entry matches. */
export function matchingExpiry(token: TokenIdentity, entries: KnownEntries): number {
  return entries.expiryOf(token);
}

/** Whether an entry matches `token` and its expiry plus the leeway has not passed. */
export function isBlacklisted(token: TokenIdentity, { entries, now, leewayMs }: EntryLookup): boolean {
  const expiresAt = matchingExpiry(token, entries);
  return expiresAt !== 0 && expiresAt + leewayMs > now;
}

/** Adds the keys of all entries that may match `token` to `keys`. */
export function addKeysOf(token: TokenIdentity, keys: Set<EntryKey>): void {
  keys.add(token);
}

/** Whether `text`, which is not validated, may be the key of an entry. */
export function isEntryKey(text: string): boolean {
  return jtiProblem(text) === undefined;
}

/** {@link isEntryKey} for 1 to 255 ASCII characters, in a fraction of the time. */
export function isAsciiEntryKey(text: string): boolean {
  return !text.includes("\0") && !isRawToken(text);
}

/** The jti that an entry names. */
export function jtiOf(key: EntryKey): Jti {
  return key as Jti;
}

/** Whether writing `times` to an entry with the times `stored` changes it. */
export function extendsTimes(times: EntryTimes, stored: EntryTimes): boolean {
  return times.expiresAt > stored.expiresAt;
}

/** Whether any of `times` is as late as its counterpart in `stored`, or later. */
export function reachesTimes(times: EntryTimes, stored: EntryTimes): boolean {
  return times.expiresAt >= stored.expiresAt;
}

/** The later of each time, so that no request shortens an entry. */
export function latestTimes(a: EntryTimes, b: EntryTimes): EntryTimes {
  return { expiresAt: a.expiresAt > b.expiresAt ? a.expiresAt : b.expiresAt };
}
