import type { EpochMs } from "../entry.ts";
import { anotherDatabase } from "../errors.ts";
import { SCAN_PAGE, TAIL_PAGE } from "../limits.ts";
import { isSameRevision, type Revision } from "../revision.ts";
import type { Engine, Reader } from "./engine.ts";
import {
  expectedStampCount,
  OLDEST_COMMIT_SQL,
  onlyRow,
  STATE_TABLES,
  stateColumns,
  stateLost,
  stateOf,
  TIME_COLUMNS,
  tailEntry,
  truncatedResult,
} from "./rows.ts";
import {
  BEFORE_ALL_KEYS,
  type Changes,
  type DatabaseState,
  type ScanPage,
  type Tail,
  type TailPosition,
} from "./store.ts";

type Rows = readonly (readonly unknown[])[];

/** A revision that no commit has. */
const NO_COMMIT: Revision = { number: -1, stamp: "" };

/** The lengths of the list of required commits in a statement: few, because the database prepares each distinct text. Mostly 1 is used. */
const LIST_SIZES = [1, 2, 8, 64] as const;

/** SQL for a page of the table. Each row tells whether it is of the right database, followed by the entry and `columns`. */
const scanFor = (
  columns: string,
) => `SELECT (SELECT generation = ? FROM blacklist_state WHERE id = 1), jti, ${TIME_COLUMNS.join()}${columns}
  FROM blacklisted_tokens WHERE jti > ? ORDER BY jti LIMIT ${SCAN_PAGE}`;

const SCAN = scanFor("");

/** Each row also tells whether it is the table's last row. That doubles the cost, so it is used only for the last page. */
const LAST_SCAN = scanFor(", jti = (SELECT MAX(jti) FROM blacklisted_tokens)");

/** Proves an empty page, which proves nothing by itself: its row tells whether the database is the right one, and whether a row follows. */
const SCAN_END = `SELECT generation = ?, (SELECT COUNT(*) FROM (SELECT jti FROM blacklisted_tokens WHERE jti > ? LIMIT 1) more)
  FROM blacklist_state WHERE id = 1`;

/** Revision, stamp, generation, clock, and whether the server takes writes. */
const STATE = /^(\d+) ([0-9A-F]{16}) ([0-9A-F]{32}) (\d+) ([01])$/;

/** {@link Tail} on any database that has an {@link Engine}. */
export class SqlTail implements Tail {
  readonly #engine: Engine;
  readonly #reader: Reader;
  readonly #generation: () => Promise<string>;
  /** SQL for the state as one text, see {@link STATE}. */
  readonly #stateSql: string;
  /**
   * SQL for the state (columns 0 to 4), the count of required stamps, the oldest commit, the count of changes, and in each row one change:
   * its revision (column 8), key and times. The list of required commits has the given length.
   */
  readonly #changesSql: (length: number) => string;
  /** Whether the last read found no changes, so that the next one probably finds none either. */
  #foundNothing = false;

  constructor(engine: Engine, generation: () => Promise<string>) {
    this.#engine = engine;
    this.#reader = engine.openReader();
    this.#generation = generation;
    // Concatenated into one column: the driver parses the description of every column for every answer, which takes longer than
    // parsing the values.
    this.#stateSql = `SELECT CONCAT_WS(' ', state.revision, HEX(commits.stamp), HEX(state.generation), ${engine.clockSql}, ${engine.writableSql})
      FROM ${STATE_TABLES} WHERE state.id = 1`;
    // The page has its own ORDER BY and LIMIT: joined to the state row directly, the database would sort all remaining rows each
    // time, and a follower that is far behind would never catch up. The rows are counted inside the statement, so that an answer
    // truncated on its way has fewer rows than its count.
    this.#changesSql = (length) => `SELECT ${stateColumns(engine)}, (
        SELECT COUNT(*) FROM blacklist_commits WHERE revision IN (${placeholders(length)}) AND stamp IN (${placeholders(length)})
      ), ${OLDEST_COMMIT_SQL}, COUNT(page.jti) OVER (), page.revision, page.jti, ${TIME_COLUMNS.map((column) => `page.${column}`).join()} FROM ${STATE_TABLES}
      LEFT JOIN (
        SELECT revision, jti, ${TIME_COLUMNS.join()} FROM blacklisted_tokens ${engine.useIndexSql("blacklisted_tokens_tail")}
        WHERE revision >= ? AND (revision > ? OR jti > ?) ORDER BY revision, jti LIMIT ${TAIL_PAGE}
      ) page ON 1 = 1
      WHERE state.id = 1 ORDER BY page.revision, page.jti`;
  }

  async changes(
    from: TailPosition,
    seen: Revision | undefined,
    required: readonly Revision[] = [],
  ): Promise<Changes> {
    const others = seen === undefined ? required : required.filter((one) => !isSameRevision(one, seen));
    if (this.#foundNothing && others.length === 0 && seen?.number === from.revision - 1) {
      // Half the work for the database: a change would raise the revision in the state row. If it is still that of the commit seen, the
      // stamp tells whether that commit is still there.
      const state = await this.#readState();
      if (state.revision.number === seen.number) {
        const intact = state.revision.stamp === seen.stamp;
        return { ...state, intact, entries: [], hasMore: false, next: from };
      }
    }
    const commits = seen === undefined ? others : [seen, ...others];
    const length = LIST_SIZES.find((size) => size >= commits.length) ?? commits.length;
    const asked = [...commits, ...Array<Revision>(length - commits.length).fill(NO_COMMIT)];
    const generation = await this.#generation();
    const rows = await this.#reader.select(this.#changesSql(length), [
      ...asked.map(({ number }) => number),
      ...asked.map(({ stamp }) => Buffer.from(stamp, "hex")),
      ...[from.revision, from.revision, from.key],
    ]);
    const state = stateOf(rows[0], generation);
    const [stampCount, oldest, count] = (rows[0] as unknown[]).slice(5, 8).map(Number) as [
      number,
      number,
      number,
    ];
    if (rows.length !== Math.max(1, count)) throw truncatedResult();
    // The last revision seen must be there, however old it is.
    const expected =
      commits.length - others.length + expectedStampCount(others, { oldest, last: state.revision.number });
    const found = count === 0 ? [] : rows;
    const hasMore = found.length === TAIL_PAGE;
    const last = found.at(-1);
    this.#foundNothing = found.length === 0;
    return {
      ...this.#checkWritable(state),
      intact: stampCount === expected,
      entries: found.map((row) => tailEntry(row, 9)),
      hasMore,
      next:
        hasMore && last !== undefined
          ? { revision: Number(last[8]), key: last[9] as Uint8Array }
          : { revision: state.revision.number + 1, key: BEFORE_ALL_KEYS },
    };
  }

  async #readState(): Promise<DatabaseState> {
    const generation = await this.#generation();
    const [row] = await this.#reader.select(this.#stateSql, []);
    if (row === undefined) throw stateLost();
    const found = STATE.exec(String(row[0]));
    if (found === null) throw stateLost();
    const [, number, stamp, read, clock, writable] = found;
    if (read?.toLowerCase() !== generation) throw anotherDatabase();
    return this.#checkWritable({
      revision: { number: Number(number), stamp: (stamp as string).toLowerCase() },
      clock: Number(clock) as EpochMs,
      writable: writable === "1",
    });
  }

  /** If the server takes no writes, another server may have replaced it. */
  #checkWritable(state: DatabaseState): DatabaseState {
    if (!state.writable) this.#engine.renewReaders();
    return state;
  }

  async scan(after: Uint8Array): Promise<ScanPage> {
    const generation = Buffer.from(await this.#generation(), "hex");
    const from = [generation, after] as const;
    let rows = await this.#reader.select(SCAN, from);
    // A short page is read again, because one snapshot must show both the rows and that they are the last.
    if (rows.length < SCAN_PAGE) rows = await this.#reader.select(LAST_SCAN, from);
    if (rows.some((row) => Number(row[0]) !== 1)) throw anotherDatabase();
    const hasMore = rows.length === SCAN_PAGE;
    if (!hasMore && !(await this.#isLast(rows, from))) throw truncatedResult();
    return { entries: rows.map((row) => tailEntry(row, 1)), hasMore };
  }

  async #isLast(rows: Rows, from: readonly [Uint8Array, Uint8Array]): Promise<boolean> {
    const last = rows.at(-1);
    if (last !== undefined) return Number(last.at(-1)) === 1;
    const [end] = await this.#reader.select(SCAN_END, from);
    const [isRightDatabase, more] = onlyRow(end);
    if (Number(isRightDatabase) !== 1) throw anotherDatabase();
    return Number(more) === 0;
  }

  close(): void {
    this.#reader.close();
  }
}

function placeholders(count: number): string {
  return Array(count).fill("?").join();
}
