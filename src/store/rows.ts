import type { Entry, EpochMs, Jti } from "../entry.ts";
import { type ServiceError, storeUnavailable } from "../errors.ts";
import type { Revision } from "../revision.ts";
import { text } from "./engine.ts";

/** The columns of an entry, in the order of rows that are read as arrays. */
export const ENTRY_COLUMNS = ["jti", "expires_at", "created_at", "reason", "revoked_by"] as const;

/** A row of `blacklisted_tokens` as the drivers return it. */
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

/** A commit's number and stamp from its columns. */
export function revisionOf(number: unknown, stamp: unknown): Revision {
  return { number: Number(number), stamp: hex(stamp) };
}

/** SQL for the number of the oldest commit whose stamp is kept. */
export const OLDEST_COMMIT = "(SELECT MIN(revision) FROM blacklist_commits)";

/**
 * How many of `commits` a history must have the stamps of if it contains them all: those not older than the oldest commit it keeps.
 * An older commit is assumed to be contained, since its stamp is gone. A commit ahead of the last one is counted, and will not be
 * found.
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
 * For a result with fewer rows than the database found, caused by a setting of the session or by a proxy. Any row may be missing,
 * so nothing of the result is used.
 */
export function truncatedResult(): ServiceError {
  return storeUnavailable("the database's answer was cut short");
}

/** The row of a statement that always returns one; throws if the row is missing. */
export function onlyRow<Row>(row: Row): NonNullable<Row> {
  if (row === undefined || row === null) throw truncatedResult();
  return row;
}
