import type { NewEntry } from "../entry.ts";
import { literal } from "./engine.ts";
import { ENTRY_COLUMNS } from "./rows.ts";
import type { Terms } from "./store.ts";

export interface Commit {
  readonly entries: readonly NewEntry[];
  readonly terms: Terms;
  /** Hexadecimal. The packet refuses to commit to any other database. */
  readonly generation: string;
  /** Hexadecimal, this attempt's own. */
  readonly stamp: string;
  /** Stamps of earlier attempts whose answers were lost. */
  readonly lost: readonly string[];
  /** A revision that was current before the first attempt: the lost ones, if they happened, are past it. */
  readonly since: number;
}

/** Milliseconds since 1970 by the server's clock. UTC_TIMESTAMP, since NOW() depends on the session's time zone and its daylight saving. */
export const MYSQL_CLOCK = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) DIV 1000";

/**
 * True on a server that takes writes. As text, since newer MariaDBs spell the first one OFF; the second is what tells a
 * reader of a shared-storage cluster from its writer.
 */
export const MYSQL_WRITABLE =
  "CONCAT(@@global.read_only, @@global.innodb_read_only) IN ('00', '0OFF', 'OFF0', 'OFFOFF')";

/** Which of the packet's statements gives which answer; `lost` is there only where the answer of an earlier attempt was lost. */
export const PACKET_ANSWERS = { insert: 3, commit: 6, lost: 7 } as const;

/**
 * The whole transaction as one text that travels in one packet: a process that stops in the middle of sending it has not
 * begun, and one that stops later cannot hold the fleet's lock, since the server needs nothing more from it.
 * Every value in it is a number or a hexadecimal literal.
 *
 * A server may roll the transaction back between two statements without an error: Galera does so where another node's write
 * conflicts. Hence three rules. The session does not commit by itself, so that the statements after the rollback store nothing.
 * The last INSERT fails unless all that came before is still there. And the commit is read after COMMIT: only what is then
 * shown has happened.
 */
export function commitPacket({ entries, terms, generation, stamp, lost, since }: Commit): string {
  const rows = entries.map(
    ({ jti, expiresAt, reason, revokedBy }) =>
      `(${literal(jti)},${expiresAt},@clock,${literal(reason)},${literal(revokedBy)},@revision,@revision)`,
  );
  return [
    // Not BEGIN, which would commit what a failed packet has left in the session.
    "ROLLBACK",
    // Takes the one lock, so commits happen in the order of their numbers. On a demoted server, or another database,
    // it matches nothing, the number below is NULL, and a NOT NULL column ends the packet before anything is stored.
    `UPDATE blacklist_state SET revision = LAST_INSERT_ID(revision + 1) WHERE id = 1 AND generation = x'${generation}' AND ${MYSQL_WRITABLE} AND @@autocommit = 0`,
    `SET @revision = IF(ROW_COUNT() = 1, LAST_INSERT_ID(), NULL), @clock = ${MYSQL_CLOCK}, @dead = LEAST(@clock, ${terms.now}) - ${terms.leewayMs}`,
    // Assignments run from left to right and see each other: expires_at, on which all others depend, comes last.
    `INSERT INTO blacklisted_tokens (${ENTRY_COLUMNS.join()}, revision, created_revision) VALUES ${rows.join()}
     ON DUPLICATE KEY UPDATE
       revision = IF(VALUES(expires_at) > expires_at, VALUES(revision), revision),
       created_revision = IF(VALUES(expires_at) > expires_at AND expires_at <= @dead, VALUES(created_revision), created_revision),
       created_at = IF(VALUES(expires_at) > expires_at AND expires_at <= @dead, VALUES(created_at), created_at),
       reason = IF(VALUES(expires_at) > expires_at AND expires_at <= @dead, VALUES(reason), reason),
       revoked_by = IF(VALUES(expires_at) > expires_at AND expires_at <= @dead, VALUES(revoked_by), revoked_by),
       expires_at = GREATEST(expires_at, VALUES(expires_at))`,
    // Where the transaction has vanished meanwhile, the state row names a commit that has its row already: a duplicate key.
    `INSERT INTO blacklist_commits (revision, stamp, committed_at) VALUES ((SELECT revision FROM blacklist_state WHERE id = 1), x'${stamp}', @clock)`,
    "COMMIT",
    `SELECT revision, committed_at FROM blacklist_commits WHERE revision = @revision AND stamp = x'${stamp}'`,
    ...(lost.length === 0
      ? []
      : [
          `SELECT revision FROM blacklist_commits WHERE revision > ${since} AND stamp IN (${lost.map((hex) => `x'${hex}'`).join()})`,
        ]),
    ENDS_READING,
  ].join(";\n");
}

/** Without autocommit a SELECT begins a transaction, and keeps the tables from being altered until that ends. */
const ENDS_READING = "ROLLBACK";

/** SELECTs in a session that does not commit by itself. The last answer is of no interest. */
export function readPacket(...selects: readonly string[]): string {
  return [...selects, ENDS_READING].join(";\n");
}

/** The rows as they stand, to tell what the commit did to each: its revision is on those that it created or changed. */
export function rowsOf(entries: readonly NewEntry[]): string {
  return `SELECT ${ENTRY_COLUMNS.join()}, revision, created_revision FROM blacklisted_tokens WHERE jti IN (${entries.map(({ jti }) => literal(jti)).join()})`;
}

/** A commit's number and stamp. */
export function stampOf(revision: number): string {
  return `SELECT revision, stamp FROM blacklist_commits WHERE revision = ${revision}`;
}

/** What the server says of an INSERT. */
export interface InsertAnswer {
  readonly affectedRows: number;
  /** `Records: 3  Duplicates: 1  Warnings: 0`, in the server's language; empty for a single row. */
  readonly info?: string;
}

/**
 * True where the server's answer proves that every row was new, as nearly always: nothing need be read back then. Without
 * the client flag FOUND_ROWS a new row counts as one, a changed one as two and an unchanged one as none.
 */
export function allInserted({ affectedRows, info = "" }: InsertAnswer, count: number): boolean {
  if (affectedRows !== count) return false;
  const [, , duplicates] = /(\d+)\D+(\d+)\D+(\d+)/.exec(info) ?? [];
  return count === 1 || duplicates === "0";
}
