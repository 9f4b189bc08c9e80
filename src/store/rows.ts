import type { Entry, EpochMs, Jti } from "../entry.ts";
import { type ServiceError, storeUnavailable } from "../errors.ts";
import type { Revision } from "../revision.ts";
import { text } from "./engine.ts";

/** The columns of an entry, in the order in which rows are read as arrays. */
export const ENTRY_COLUMNS = ["jti", "expires_at", "created_at", "reason", "revoked_by"] as const;

/** A row of `blacklisted_tokens` as the drivers hand it out. */
export interface EntryRow {
  readonly jti: unknown;
  readonly expires_at: number;
  readonly created_at: number | null;
  readonly reason: unknown;
  readonly revoked_by: unknown;
}

export function entryOf(row: EntryRow): Entry {
  return {
    jti: text(row.jti) as Jti,
    expiresAt: Number(row.expires_at) as EpochMs,
    createdAt: row.created_at === null ? null : (Number(row.created_at) as EpochMs),
    reason: text(row.reason),
    revokedBy: text(row.revoked_by),
  };
}

/** A commit's number and stamp, as its columns hold them. */
export function revisionOf(number: unknown, stamp: unknown): Revision {
  return { number: Number(number), stamp: hex(stamp) };
}

/** SQL for the number of the oldest commit whose stamp is kept. */
export const OLDEST_COMMIT = "(SELECT MIN(revision) FROM blacklist_commits)";

/**
 * Of how many commits a history has the stamp if it contains them all: of each that is not older than the oldest it keeps. Such an old one
 * is believed, since nothing can tell any more. One that is ahead of the last is counted, and will not be found.
 */
export function countable(
  commits: readonly Revision[],
  { oldest, last }: { oldest: number; last: number },
): number {
  return commits.filter(({ number }) => number >= oldest || number > last).length;
}

export function hex(bytes: unknown): string {
  return Buffer.from(bytes as Uint8Array).toString("hex");
}

/**
 * The database has sent fewer rows than it found. A setting of its session can make it do so, or a proxy; what is missing may be
 * anything, so nothing of the answer is used.
 */
export function answerCut(): ServiceError {
  return storeUnavailable("the database's answer was cut short");
}

/** The row of a statement whose answer always has one; throws where it was cut off. */
export function theRow<Row>(row: Row): NonNullable<Row> {
  if (row === undefined || row === null) throw answerCut();
  return row;
}
