import type { EpochMs } from "../entry.ts";
import { anotherDatabase, storeUnavailable } from "../errors.ts";
import { SCAN_PAGE, TAIL_PAGE } from "../limits.ts";
import type { Revision } from "../revision.ts";
import type { Engine, Reader } from "./engine.ts";
import { hex, revisionOf } from "./rows.ts";
import type { Changes, ScanPage, Tail, TailPosition } from "./store.ts";

/** No commit has this number. */
const NO_COMMIT = -1;

/** Before every jti. */
const START = new Uint8Array();

/** Each row says whether it is of the right database; a page without rows claims nothing. */
const SCAN = `SELECT jti, expires_at, (SELECT generation = ? FROM blacklist_state WHERE id = 1)
  FROM blacklisted_tokens WHERE jti > ? ORDER BY jti LIMIT ${SCAN_PAGE}`;

interface Read {
  readonly seen: Revision | undefined;
  readonly values: readonly (number | Uint8Array)[];
}

/** {@link Tail} on any database that has an {@link Engine}. */
export class SqlTail implements Tail {
  readonly #engine: Engine;
  readonly #reader: Reader;
  readonly #generation: () => Promise<string>;
  readonly #standing: string;
  readonly #changes: string;
  /** The last read found nothing: so will the next, most likely. */
  #isQuiet = false;

  constructor(engine: Engine, generation: () => Promise<string>) {
    this.#engine = engine;
    this.#reader = engine.openReader();
    this.#generation = generation;
    // The page has an ORDER BY and a LIMIT of its own: joined to the state row directly, the database would sort all that is
    // left each time, and a follower that is far behind would never arrive.
    const columns = `state.revision, commits.stamp, state.generation, ${engine.clock}, ${engine.writable}, seen.stamp`;
    const joined = `FROM blacklist_state state
      JOIN blacklist_commits commits ON commits.revision = state.revision
      LEFT JOIN blacklist_commits seen ON seen.revision = ?`;
    this.#standing = `SELECT ${columns} ${joined} WHERE state.id = 1`;
    this.#changes = `SELECT ${columns}, page.revision, page.jti, page.expires_at ${joined}
      LEFT JOIN (
        SELECT revision, jti, expires_at FROM blacklisted_tokens ${engine.byIndex("blacklisted_tokens_tail")}
        WHERE revision >= ? AND (revision > ? OR jti > ?) ORDER BY revision, jti LIMIT ${TAIL_PAGE}
      ) page ON 1 = 1
      WHERE state.id = 1 ORDER BY page.revision, page.jti`;
  }

  async changes(from: TailPosition, seen: Revision | undefined): Promise<Changes> {
    if (this.#isQuiet) {
      // Half the work for the database. What has changed is of a revision that the state row names.
      const standing = await this.#read(this.#standing, { seen, values: [] });
      if (standing.revision.number < from.revision) return standing;
    }
    const page = [from.revision, from.revision, from.jti];
    const changes = await this.#read(this.#changes, { seen, values: page });
    this.#isQuiet = changes.entries.length === 0;
    return changes;
  }

  async #read(sql: string, { seen, values: more }: Read): Promise<Changes> {
    const generation = await this.#generation();
    const values = [seen?.number ?? NO_COMMIT, ...more];
    const rows = await this.#reader.select(sql, values);
    const [first] = rows;
    if (first === undefined) throw storeUnavailable("the database has lost its state row");
    if (hex(first[2]) !== generation) throw anotherDatabase();
    const revision = revisionOf(first[0], first[1]);
    const found = (first[6] ?? null) === null ? [] : rows;
    const hasMore = found.length === TAIL_PAGE;
    const last = found.at(-1);
    const writable = Number(first[4]) === 1;
    if (!writable) this.#engine.renewReaders();
    return {
      revision,
      clock: Number(first[3]) as EpochMs,
      writable,
      intact: seen === undefined || (first[5] !== null && hex(first[5]) === seen.stamp),
      entries: found.map((row) => ({ jti: row[7] as Uint8Array, expiresAt: Number(row[8]) as EpochMs })),
      hasMore,
      next:
        hasMore && last !== undefined
          ? { revision: Number(last[6]), jti: last[7] as Uint8Array }
          : { revision: revision.number + 1, jti: START },
    };
  }

  async scan(after: Uint8Array): Promise<ScanPage> {
    const generation = Buffer.from(await this.#generation(), "hex");
    const rows = await this.#reader.select(SCAN, [generation, after]);
    if (rows.some((row) => Number(row[2]) !== 1)) throw anotherDatabase();
    return {
      entries: rows.map((row) => ({ jti: row[0] as Uint8Array, expiresAt: Number(row[1]) as EpochMs })),
      hasMore: rows.length === SCAN_PAGE,
    };
  }

  close(): void {
    this.#reader.close();
  }
}
