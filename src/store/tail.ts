import type { EpochMs } from "../entry.ts";
import { anotherDatabase, type ServiceError, storeUnavailable } from "../errors.ts";
import { SCAN_PAGE, TAIL_PAGE } from "../limits.ts";
import { isSameRevision, type Revision } from "../revision.ts";
import type { Engine, Reader } from "./engine.ts";
import { answerCut, countable, hex, OLDEST_COMMIT, revisionOf, theRow } from "./rows.ts";
import type { Changes, ScanPage, Standing, Tail, TailPosition } from "./store.ts";

type Rows = readonly (readonly unknown[])[];

/** No commit has this number, nor such a stamp. */
const NO_COMMIT: Revision = { number: -1, stamp: "" };

/** Before every jti. */
const START = new Uint8Array();

/** For how many commits there is room in a statement: mostly one is asked for, and with each text the database prepares another statement. */
const ROOM = [1, 2, 8, 64] as const;

/** A page of the table. Each row says whether it is of the right database, and `columns` more. */
const scanFor = (columns: string) => `SELECT jti, expires_at,
    (SELECT generation = ? FROM blacklist_state WHERE id = 1)${columns}
  FROM blacklisted_tokens WHERE jti > ? ORDER BY jti LIMIT ${SCAN_PAGE}`;

const SCAN = scanFor("");

/** Each row says whether it is the table's last, too. That takes as long again, so it is for a page that would be the last alone. */
const LAST_SCAN = scanFor(", jti = (SELECT MAX(jti) FROM blacklisted_tokens)");

/** A page without rows says nothing; this does. */
const SCAN_END = `SELECT generation = ?, (SELECT COUNT(*) FROM (SELECT jti FROM blacklisted_tokens WHERE jti > ? LIMIT 1) more)
  FROM blacklist_state WHERE id = 1`;

/** Revision, stamp, generation, clock, and whether the server takes writes. */
const STANDING = /^(\d+) ([0-9A-F]{16}) ([0-9A-F]{32}) (\d+) ([01])$/;

/** {@link Tail} on any database that has an {@link Engine}. */
export class SqlTail implements Tail {
  readonly #engine: Engine;
  readonly #reader: Reader;
  readonly #generation: () => Promise<string>;
  readonly #standing: string;
  readonly #changes: (room: number) => string;
  /** The last read found nothing: so will the next, most likely. */
  #isQuiet = false;

  constructor(engine: Engine, generation: () => Promise<string>) {
    this.#engine = engine;
    this.#reader = engine.openReader();
    this.#generation = generation;
    const columns = `state.revision, commits.stamp, state.generation, ${engine.clock}, ${engine.writable}`;
    const joined = `FROM blacklist_state state
      JOIN blacklist_commits commits ON commits.revision = state.revision`;
    // As one text: a driver reads the description of every column again with every answer, which takes longer than their values do.
    this.#standing = `SELECT CONCAT_WS(' ', state.revision, HEX(commits.stamp), HEX(state.generation), ${engine.clock}, ${engine.writable})
      ${joined} WHERE state.id = 1`;
    // The page has an ORDER BY and a LIMIT of its own: joined to the state row directly, the database would sort all that is
    // left each time, and a follower that is far behind would never arrive.
    // The rows are counted where none can be missing: an answer with fewer was cut on its way.
    this.#changes = (room) => `SELECT ${columns}, (
        SELECT COUNT(*) FROM blacklist_commits WHERE revision IN (${places(room)}) AND stamp IN (${places(room)})
      ), ${OLDEST_COMMIT}, page.revision, page.jti, page.expires_at, COUNT(page.jti) OVER () ${joined}
      LEFT JOIN (
        SELECT revision, jti, expires_at FROM blacklisted_tokens ${engine.byIndex("blacklisted_tokens_tail")}
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
    if (this.#isQuiet && others.length === 0 && seen?.number === from.revision - 1) {
      // Half the work for the database. What has changed is of a revision that the state row names; and whether the commit
      // seen is still there, the stamp of the last one tells, as long as that has its number.
      const { revision, clock, writable } = await this.#readStanding();
      if (revision.number === seen.number) {
        const intact = revision.stamp === seen.stamp;
        return { revision, clock, writable, intact, entries: [], hasMore: false, next: from };
      }
    }
    const commits = seen === undefined ? others : [seen, ...others];
    const room = ROOM.find((count) => count >= commits.length) ?? commits.length;
    const asked = [...commits, ...Array<Revision>(room - commits.length).fill(NO_COMMIT)];
    const generation = await this.#generation();
    const rows = await this.#reader.select(this.#changes(room), [
      ...asked.map(({ number }) => number),
      ...asked.map(({ stamp }) => Buffer.from(stamp, "hex")),
      ...[from.revision, from.revision, from.jti],
    ]);
    const [first] = rows;
    if (first === undefined) throw stateLost();
    if (hex(first[2]) !== generation) throw anotherDatabase();
    const revision = revisionOf(first[0], first[1]);
    const count = Number(first[10]);
    if (rows.length !== Math.max(1, count)) throw answerCut();
    const oldest = Number(first[6]);
    // What was seen last has to be there, however old it is.
    const expected = commits.length - others.length + countable(others, { oldest, last: revision.number });
    const found = count === 0 ? [] : rows;
    const hasMore = found.length === TAIL_PAGE;
    const last = found.at(-1);
    this.#isQuiet = found.length === 0;
    return {
      revision,
      clock: Number(first[3]) as EpochMs,
      writable: this.#takesWrites(first[4]),
      intact: Number(first[5]) === expected,
      entries: found.map((row) => ({ jti: row[8] as Uint8Array, expiresAt: Number(row[9]) as EpochMs })),
      hasMore,
      next:
        hasMore && last !== undefined
          ? { revision: Number(last[7]), jti: last[8] as Uint8Array }
          : { revision: revision.number + 1, jti: START },
    };
  }

  async #readStanding(): Promise<Standing> {
    const generation = await this.#generation();
    const [row] = await this.#reader.select(this.#standing, []);
    if (row === undefined) throw stateLost();
    const found = STANDING.exec(String(row[0]));
    if (found === null) throw stateLost();
    const [, number, stamp, read, clock, writable] = found;
    if (read?.toLowerCase() !== generation) throw anotherDatabase();
    return {
      revision: { number: Number(number), stamp: (stamp as string).toLowerCase() },
      clock: Number(clock) as EpochMs,
      writable: this.#takesWrites(writable),
    };
  }

  /** Of a server. Where one does not, another may have taken its place. */
  #takesWrites(value: unknown): boolean {
    const writable = Number(value) === 1;
    if (!writable) this.#engine.renewReaders();
    return writable;
  }

  async scan(after: Uint8Array): Promise<ScanPage> {
    const generation = Buffer.from(await this.#generation(), "hex");
    const from = [generation, after] as const;
    let rows = await this.#reader.select(SCAN, from);
    // Short pages are read again: one snapshot has to show both the rows and that they are the last.
    if (rows.length < SCAN_PAGE) rows = await this.#reader.select(LAST_SCAN, from);
    if (rows.some((row) => Number(row[2]) !== 1)) throw anotherDatabase();
    const hasMore = rows.length === SCAN_PAGE;
    if (!hasMore && !(await this.#isLast(rows, from))) throw answerCut();
    return {
      entries: rows.map((row) => ({ jti: row[0] as Uint8Array, expiresAt: Number(row[1]) as EpochMs })),
      hasMore,
    };
  }

  async #isLast(rows: Rows, from: readonly [Uint8Array, Uint8Array]): Promise<boolean> {
    const last = rows.at(-1);
    if (last !== undefined) return Number(last[3]) === 1;
    const [end] = await this.#reader.select(SCAN_END, from);
    const [isRightDatabase, more] = theRow(end);
    if (Number(isRightDatabase) !== 1) throw anotherDatabase();
    return Number(more) === 0;
  }

  close(): void {
    this.#reader.close();
  }
}

function stateLost(): ServiceError {
  return storeUnavailable("the database has lost its state row");
}

function places(count: number): string {
  return Array(count).fill("?").join();
}
