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

/** Where the packet's answers stand; the last is there only where an answer was lost before. */
export const PACKET_ANSWERS = { insert: 4, state: 6, lost: 7 } as const;

/**
 * The whole transaction as one text that travels in one packet: a process that stops in the middle of sending it has not
 * begun, and one that stops later cannot hold the fleet's lock, since the server needs nothing more from it.
 * Every value in it is a number or a hexadecimal literal.
 */
export function commitPacket({ entries, terms, generation, stamp, lost, since }: Commit): string {
  const rows = entries.map(
    ({ jti, expiresAt, reason, revokedBy }) =>
      `(${literal(jti)},${expiresAt},@clock,${literal(reason)},${literal(revokedBy)},@revision,@revision)`,
  );
  return [
    "BEGIN",
    // Takes the one lock, so commits happen in the order of their numbers. On a demoted server, or another database,
    // it matches nothing, the number below is NULL, and the NOT NULL column ends the packet before anything is stored.
    `UPDATE blacklist_state SET revision = LAST_INSERT_ID(revision + 1) WHERE id = 1 AND generation = x'${generation}' AND ${MYSQL_WRITABLE}`,
    `INSERT INTO blacklist_commits (revision, stamp, committed_at) VALUES (IF(ROW_COUNT() = 1, LAST_INSERT_ID(), NULL), x'${stamp}', ${MYSQL_CLOCK})`,
    `SET @revision = LAST_INSERT_ID(), @clock = ${MYSQL_CLOCK}, @dead = LEAST(${MYSQL_CLOCK}, ${terms.now}) - ${terms.leewayMs}`,
    // Assignments run from left to right and see each other: expires_at, on which all others depend, comes last.
    `INSERT INTO blacklisted_tokens (${ENTRY_COLUMNS.join()}, revision, created_revision) VALUES ${rows.join()}
     ON DUPLICATE KEY UPDATE
       revision = IF(VALUES(expires_at) > expires_at, VALUES(revision), revision),
       created_revision = IF(VALUES(expires_at) > expires_at AND expires_at <= @dead, VALUES(created_revision), created_revision),
       created_at = IF(VALUES(expires_at) > expires_at AND expires_at <= @dead, VALUES(created_at), created_at),
       reason = IF(VALUES(expires_at) > expires_at AND expires_at <= @dead, VALUES(reason), reason),
       revoked_by = IF(VALUES(expires_at) > expires_at AND expires_at <= @dead, VALUES(revoked_by), revoked_by),
       expires_at = GREATEST(expires_at, VALUES(expires_at))`,
    "COMMIT",
    "SELECT @revision, @clock",
    ...(lost.length === 0
      ? []
      : [
          `SELECT revision FROM blacklist_commits WHERE revision > ${since} AND stamp IN (${lost.map((hex) => `x'${hex}'`).join()})`,
        ]),
  ].join(";\n");
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
