import type { NewEntry } from "../entry.ts";
import { literal } from "./engine.ts";
import { ENTRY_COLUMNS, TIME_COLUMNS, timeValues } from "./rows.ts";
import type { ExpiryContext } from "./store.ts";

interface Commit {
  readonly entries: readonly NewEntry[];
  readonly context: ExpiryContext;
  /** Hexadecimal. The packet commits to no database with another generation. */
  readonly generation: string;
  /** Hexadecimal; unique to this attempt. */
  readonly stamp: string;
  /** Stamps of earlier attempts whose answers were lost. */
  readonly lostStamps: readonly string[];
  /** A revision that was current before the first attempt: lost attempts that did commit have later revisions. */
  readonly since: number;
}

/**
 * Milliseconds since 1970 by the server's clock. Uses UTC_TIMESTAMP because NOW() depends on the session's time zone and its
 * daylight saving.
 */
export const MYSQL_CLOCK = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) DIV 1000";

/**
 * True on a server that takes writes. Compared as text, because newer MariaDB versions return read_only as OFF. innodb_read_only
 * distinguishes a reader of a shared-storage cluster from its writer.
 */
export const MYSQL_WRITABLE =
  "CONCAT(@@global.read_only, @@global.innodb_read_only) IN ('00', '0OFF', 'OFF0', 'OFFOFF')";

/** Whether the new row extends the stored one. */
const EXTENDS = TIME_COLUMNS.map((column) => `VALUES(${column}) > ${column}`).join(" OR ");
/** Whether the new row replaces the stored one as a whole, because the stored one has expired: at `@dead` or before. */
const REPLACES = "VALUES(expires_at) > expires_at AND expires_at <= @dead";

/** The index of each answer in the packet's result; `lost` is present only if the answer of an earlier attempt was lost. */
export const ANSWER_INDEX = { insert: 3, commit: 6, lost: 7 } as const;

/**
 * The whole transaction as one text in one packet: a process that stops while sending it has not begun the transaction, and one
 * that stops later cannot hold the lock that all replicas share, because the server needs nothing more from it. All values in it
 * are numbers or hexadecimal literals.
 *
 * A server may roll the transaction back between two statements without an error: Galera does when a write of another node
 * conflicts. Hence three rules. The session has autocommit off, so that statements after a rollback store nothing. The last INSERT
 * fails unless all earlier changes are still there. And the commit is read after COMMIT: only what this SELECT shows has been
 * committed.
 */
export function commitPacket({ entries, context, generation, stamp, lostStamps, since }: Commit): string {
  const rows = entries.map(
    (entry) =>
      `(${literal(entry.key)},${timeValues(entry).join()},@clock,${literal(entry.reason)},${literal(entry.revokedBy)},@revision,@revision)`,
  );
  return [
    // Not BEGIN, which would commit what a failed packet has left in the session.
    "ROLLBACK",
    // Takes the one lock, so that commits happen in the order of their numbers. On a demoted server, or another database, it matches no
    // row: the number below is then NULL, and a NOT NULL column ends the packet before anything is stored.
    `UPDATE blacklist_state SET revision = LAST_INSERT_ID(revision + 1) WHERE id = 1 AND generation = x'${generation}' AND ${MYSQL_WRITABLE} AND @@autocommit = 0`,
    `SET @revision = IF(ROW_COUNT() = 1, LAST_INSERT_ID(), NULL), @clock = ${MYSQL_CLOCK}, @dead = LEAST(@clock, ${context.now}) - ${context.leewayMs}`,
    // Assignments run from left to right and see each other's results: the times, on which the others depend, come last.
    `INSERT INTO blacklisted_tokens (${ENTRY_COLUMNS.join()}, revision, created_revision) VALUES ${rows.join()}
     ON DUPLICATE KEY UPDATE
       revision = IF(${EXTENDS}, VALUES(revision), revision),
       created_revision = IF(${REPLACES}, VALUES(created_revision), created_revision),
       created_at = IF(${REPLACES}, VALUES(created_at), created_at),
       reason = IF(${REPLACES}, VALUES(reason), reason),
       revoked_by = IF(${REPLACES}, VALUES(revoked_by), revoked_by),
       ${TIME_COLUMNS.map((column) => `${column} = GREATEST(${column}, VALUES(${column}))`).join()}`,
    // If the transaction has been rolled back meanwhile, the state row names a commit that already has its row: a duplicate key.
    `INSERT INTO blacklist_commits (revision, stamp, committed_at) VALUES ((SELECT revision FROM blacklist_state WHERE id = 1), x'${stamp}', @clock)`,
    "COMMIT",
    `SELECT revision, committed_at FROM blacklist_commits WHERE revision = @revision AND stamp = x'${stamp}'`,
    ...(lostStamps.length === 0
      ? []
      : [
          `SELECT revision FROM blacklist_commits WHERE revision > ${since} AND stamp IN (${lostStamps.map((hex) => `x'${hex}'`).join()})`,
        ]),
    ENDS_READING,
  ].join(";\n");
}

/** Without autocommit a SELECT begins a transaction, which blocks ALTER TABLE until it ends. */
const ENDS_READING = "ROLLBACK";

/** A packet of SELECTs for a session without autocommit. Its last answer is to be ignored. */
export function readPacket(...selects: readonly string[]): string {
  return [...selects, ENDS_READING].join(";\n");
}

/** SQL for the rows of these entries. The revisions in each tell which commits created it and last changed it. */
export function selectRows(entries: readonly NewEntry[]): string {
  return `SELECT revision, created_revision, ${ENTRY_COLUMNS.join()} FROM blacklisted_tokens WHERE jti IN (${entries.map(({ key }) => literal(key)).join()})`;
}

export function selectStamp(revision: number): string {
  return `SELECT revision, stamp FROM blacklist_commits WHERE revision = ${revision}`;
}

export interface InsertAnswer {
  readonly affectedRows: number;
  /** `Records: 3  Duplicates: 1  Warnings: 0`, in the server's language; empty for a single row. */
  readonly info?: string;
}

/**
 * True if the server's answer proves that every row was new, which is nearly always the case and makes reading back unnecessary.
 * Without the client flag FOUND_ROWS a new row counts as one, a changed row as two and an unchanged row as zero.
 */
export function allInserted({ affectedRows, info = "" }: InsertAnswer, count: number): boolean {
  if (affectedRows !== count) return false;
  const [, , duplicates] = /(\d+)\D+(\d+)\D+(\d+)/.exec(info) ?? [];
  return count === 1 || duplicates === "0";
}
