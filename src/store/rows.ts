import type { Knex } from "knex";
import type { Entry, EntryKey, EntryTimes, EpochMs } from "../entry.ts";
import { type ServiceError, storeUnavailable } from "../errors.ts";
import type { Revision } from "../revision.ts";
import { text } from "./engine.ts";
import type { TailEntry } from "./store.ts";

/** The columns of an entry's times. */
export const TIME_COLUMNS = ["expires_at"] as const;

/** The values of `TIME_COLUMNS`. */
export function timeValues({ expiresAt }: EntryTimes): readonly number[] {
  return [expiresAt];
}

/** Converts a row that is read as an array: the key is at `keyAt`, followed by the columns of `TIME_COLUMNS` in their order. */
export function tailEntry(row: readonly unknown[], keyAt: number): TailEntry {
  return { key: row[keyAt] as Uint8Array, expiresAt: Number(row[keyAt + 1]) as EpochMs };
}

/** The columns of an entry, in the order of rows that are read as arrays. An entry's key is in the column `jti`. */
export const ENTRY_COLUMNS = ["jti", ...TIME_COLUMNS, "created_at", "reason", "revoked_by"] as const;

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
    key: text(row.jti) as EntryKey,
    expiresAt: Number(row.expires_at) as EpochMs,
    createdAt: row.created_at === null ? null : (Number(row.created_at) as EpochMs),
    reason: text(row.reason),
    revokedBy: text(row.revoked_by),
  };
}

/** The entry of a row that is read as an array, whose `ENTRY_COLUMNS` begin at `at`. */
export function entryAt(row: readonly unknown[], at: number): Entry {
  const columns = ENTRY_COLUMNS.map((column, index) => [column, row[at + index]]);
  return entryOf(Object.fromEntries(columns) as EntryRow);
}

/** A commit's number and stamp from its columns. */
export function revisionOf(number: unknown, stamp: unknown): Revision {
  return { number: Number(number), stamp: hex(stamp) };
}

/** SQL for the number of the oldest commit whose stamp is kept. */
export const OLDEST_COMMIT = "(SELECT MIN(revision) FROM blacklist_commits)";

/**
 * How many stamps a look-up of `commits` finds in a database that contains all of them. Commits older than `oldest`, the oldest one
 * whose stamp is kept, are assumed to be contained and not counted. A commit after `last` is counted: it is missing, so the look-up
 * finds fewer.
 */
export function expectedStampCount(
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

interface Page {
  /** A column of `rows` that is never NULL. */
  readonly key: string;
  readonly order: readonly { readonly column: string; readonly order: "asc" | "desc" }[];
  readonly limit: number;
}

/**
 * The first `limit` of `rows` in this order. The statement counts them, and an answer with fewer rows than the count throws
 * STORE_UNAVAILABLE: otherwise a truncated page would be taken for the last.
 */
export async function wholePage<Row>(
  knex: Knex,
  rows: Knex.QueryBuilder,
  { key, order, limit }: Page,
): Promise<Row[]> {
  const page = rows
    .orderBy([...order])
    .limit(limit)
    .as("page");
  // Joined to the state row, so that an empty page still has a row to prove it.
  const answer: (Row & { found: number })[] = await knex("blacklist_state as state")
    .leftJoin(page, knex.raw("1 = 1"))
    .where("state.id", 1)
    .select("page.*", knex.raw("COUNT(??) OVER () AS found", [`page.${key}`]))
    .orderBy(order.map(({ column, order: direction }) => ({ column: `page.${column}`, order: direction })));
  const found = Number(onlyRow(answer[0]).found);
  if (answer.length !== Math.max(1, found)) throw truncatedResult();
  return found === 0 ? [] : answer;
}
