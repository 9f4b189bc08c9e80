import type { Knex } from "knex";
import type { Entry, EntryKey, EntryTimes, EpochMs } from "../entry.ts";
import { anotherDatabase, type ServiceError, storeUnavailable } from "../errors.ts";
import type { Revision } from "../revision.ts";
import { type Engine, text } from "./engine.ts";
import type { DatabaseState, TailEntry } from "./store.ts";

/** The columns of {@link EntryTimes}: today only the expiry. */
export const TIME_COLUMNS = ["expires_at"] as const;

/** The values of {@link TIME_COLUMNS}, in their order. */
export function timeValues({ expiresAt }: EntryTimes): readonly number[] {
  return [expiresAt];
}

/** The entry in a row that is an array: its key is at `keyAt`, followed by `TIME_COLUMNS`. */
export function tailEntry(row: readonly unknown[], keyAt: number): TailEntry {
  return { key: row[keyAt] as Uint8Array, expiresAt: Number(row[keyAt + 1]) as EpochMs };
}

/** The columns of an entry. Its key is in the column `jti`. */
export const ENTRY_COLUMNS = ["jti", ...TIME_COLUMNS, "created_at", "reason", "revoked_by"] as const;

/** A row of `blacklisted_tokens` as the drivers return it. */
export interface EntryRow {
  readonly jti: unknown;
  readonly expires_at: number;
  readonly created_at: number | null;
  readonly reason: unknown;
  readonly revoked_by: unknown;
}

export function entryOf({ jti, expires_at, created_at, reason, revoked_by }: EntryRow): Entry {
  return {
    key: text(jti) as EntryKey,
    expiresAt: Number(expires_at) as EpochMs,
    createdAt: created_at === null ? null : (Number(created_at) as EpochMs),
    reason: text(reason),
    revokedBy: text(revoked_by),
  };
}

/** The entry in a row that is an array: its `ENTRY_COLUMNS` begin at `at`. */
export function entryAt(row: readonly unknown[], at: number): Entry {
  const columns = ENTRY_COLUMNS.map((column, index) => [column, row[at + index]]);
  return entryOf(Object.fromEntries(columns) as EntryRow);
}

/** SQL for the columns that {@link stateOf} reads. */
export function stateColumns({ clockSql, writableSql }: Engine): string {
  return `state.revision, commits.stamp, state.generation, ${clockSql}, ${writableSql}`;
}

/** SQL for the tables of {@link stateColumns}. */
export const STATE_TABLES =
  "blacklist_state state JOIN blacklist_commits commits ON commits.revision = state.revision";

/** The state of the database in the first five columns of a row. Throws STORE_UNAVAILABLE if the row is missing or of another database. */
export function stateOf(row: readonly unknown[] | undefined, generation: string): DatabaseState {
  if (row === undefined) throw stateLost();
  const [number, stamp, found, clock, writable] = row;
  if (hex(found) !== generation) throw anotherDatabase();
  return {
    revision: revisionOf(number, stamp),
    clock: Number(clock) as EpochMs,
    writable: Number(writable) === 1,
  };
}

export function stateLost(): ServiceError {
  return storeUnavailable("the database has lost its state row");
}

export function revisionOf(number: unknown, stamp: unknown): Revision {
  return { number: Number(number), stamp: hex(stamp) };
}

/** SQL for the number of the oldest commit whose stamp is kept. */
export const OLDEST_COMMIT_SQL = "(SELECT MIN(revision) FROM blacklist_commits)";

/**
 * How many stamps a look-up of `commits` finds in a database that contains all of them. Commits older than `oldest`, the oldest one whose
 * stamp is kept, are assumed to be contained and not counted. A commit after `last` is counted: it is missing, so the look-up finds fewer.
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

/** For a result with fewer rows than the database found, caused by a setting of the session or by a proxy. No row of it is used. */
export function truncatedResult(): ServiceError {
  return storeUnavailable("the database's answer was cut short");
}

/** The row of a statement that always returns one; throws if the row is missing. */
export function onlyRow<Row>(row: Row): NonNullable<Row> {
  if (row === undefined || row === null) throw truncatedResult();
  return row;
}

interface Page {
  /** A column of `rows` that is never NULL, by which they are counted. */
  readonly key: string;
  /** The columns to sort by, as Knex takes them. */
  readonly order: readonly { readonly column: string; readonly order: "asc" | "desc" }[];
  readonly limit: number;
}

/**
 * Selects the first `limit` of `rows` in this order. The statement counts them, and an answer with fewer rows than the count throws
 * STORE_UNAVAILABLE: otherwise a truncated page would be taken for the last.
 */
export async function selectPage<Row>(
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
    .orderBy(order.map((one) => ({ ...one, column: `page.${one.column}` })));
  const found = Number(onlyRow(answer[0]).found);
  if (answer.length !== Math.max(1, found)) throw truncatedResult();
  return found === 0 ? [] : answer;
}
