import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import type { Knex } from "knex";
import type { EpochMs, NewEntry } from "../entry.ts";
import { isUnavailable, ServiceError, storeUnavailable } from "../errors.ts";
import { STORE_TIMEOUT_MS } from "../limits.ts";
import type { Revision } from "../revision.ts";
import { extendsTimes } from "../token-identity.ts";
import type { Engine, Reader } from "./engine.ts";
import { connectionOptions, type DriverOptions, type MysqlAddress } from "./mysql-address.ts";
import { MysqlConnection, QueryTimeoutError } from "./mysql-connection.ts";
import { isFromServer, isStatementFault, refusesWrites } from "./mysql-errors.ts";
import {
  ANSWER_INDEX,
  allInserted,
  commitPacket,
  type InsertAnswer,
  MYSQL_CLOCK,
  MYSQL_WRITABLE,
  readPacket,
  selectRows,
  selectStamp,
} from "./mysql-packet.ts";
import { createMysqlPool, type MysqlPool, type PoolTimeouts } from "./mysql-pool.ts";
import { entryAt, revisionOf } from "./rows.ts";
import type { CommitResult, ExpiryContext, WriteResult } from "./store.ts";

/** Interval at which read connections are replaced while their server is read-only. */
const RENEW_READERS_MS = 1000;
/** Attempts at one commit. */
const MAX_WRITE_ATTEMPTS = 5;
/** How long after the first attempt the last may begin. */
const MAX_WRITE_MS = 2 * STORE_TIMEOUT_MS;

/** The revision that last changed the entry, the revision that created it, and the entry's columns. */
type ReadBackRow = [number, number, ...unknown[]];

/**
 * More commits than a crash undoes. The numbers of undone commits are reused, so a commit whose answer was lost may have a lower number than a
 * commit that was seen before.
 */
const MAX_UNDONE_COMMITS = 1000;

export class MysqlEngine implements Engine {
  readonly migratesOnOpen = false;
  readonly clockSql = MYSQL_CLOCK;
  readonly writableSql = MYSQL_WRITABLE;
  readonly knex: Knex;
  readonly #options: DriverOptions;
  readonly #pool: MysqlPool;
  readonly #reader: MysqlConnection;
  readonly #writer: MysqlConnection;
  /** The open connections of {@link openReader}. */
  readonly #readers = new Set<MysqlConnection>();
  /** The number of the last commit of this engine. */
  #lastRevision = 0;
  #renewedAt = Number.NEGATIVE_INFINITY;
  #closed = false;

  constructor(address: MysqlAddress, timeouts: PoolTimeouts) {
    const options = connectionOptions(address);
    this.#options = options;
    this.#reader = new MysqlConnection(options);
    this.#writer = new MysqlConnection(
      { ...options, multipleStatements: true, flags: ["-FOUND_ROWS"] },
      { autocommit: false },
    );
    this.#pool = createMysqlPool(options, timeouts);
    this.knex = this.#pool.knex;
  }

  nonTransactionalTables(): Promise<{ name: string; engine: string }[]> {
    return this.knex("information_schema.tables")
      .select("table_name as name", "engine as engine")
      .whereRaw("table_schema = DATABASE()")
      .whereIn("table_name", ["blacklisted_tokens", "blacklist_state", "blacklist_commits"])
      .whereNot("engine", "InnoDB");
  }

  useIndexSql(name: string): string {
    return `FORCE INDEX (${name})`;
  }

  select(sql: string): Promise<readonly (readonly unknown[])[]> {
    return this.#read(() => this.#reader.query(sql));
  }

  openReader(): Reader {
    const connection = new MysqlConnection(this.#options);
    if (this.#closed) connection.close();
    else this.#readers.add(connection);
    return {
      select: (sql, values) => this.#read(() => connection.execute(sql, values)),
      close: () => {
        connection.close();
        this.#readers.delete(connection);
      },
    };
  }

  renewReaders(): void {
    const now = performance.now();
    if (now - this.#renewedAt < RENEW_READERS_MS) return;
    this.#renewedAt = now;
    for (const reader of [this.#reader, ...this.#readers]) reader.renew();
  }

  async #read<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      // A server that is silent on one connection is silent on all: the pool's statements need not wait for their own timeouts.
      if (error instanceof QueryTimeoutError) this.#pool.abandon();
      throw this.translate(error);
    }
  }

  async write(
    entries: readonly NewEntry[],
    context: ExpiryContext,
    generation: string,
  ): Promise<CommitResult> {
    // Sorted, so that concurrent transactions lock rows in the same order.
    const sorted = [...entries].sort((a, b) => (a.key < b.key ? -1 : 1));
    const since = Math.max(0, this.#lastRevision - MAX_UNDONE_COMMITS);
    const lostStamps: string[] = [];
    const began = performance.now();
    for (let attempt = 1; ; attempt++) {
      const stamp = randomBytes(8).toString("hex");
      try {
        const packet = commitPacket({ entries: sorted, context, generation, stamp, lostStamps, since });
        const answers = await this.#writer.query<unknown[]>(packet);
        const [shown] = answers[ANSWER_INDEX.commit] as [number, EpochMs][];
        if (shown === undefined) throw this.#vanished();
        const [number, clock] = shown;
        const revision = { number, stamp };
        this.#lastRevision = number;
        if (allInserted(answers[ANSWER_INDEX.insert] as InsertAnswer, entries.length)) {
          const results = entries.map(
            (entry): WriteResult => ({ outcome: "created", entry: { ...entry, createdAt: clock } }),
          );
          return { revision, results };
        }
        const earlier = lostStamps.length === 0 ? [] : (answers[ANSWER_INDEX.lost] as [number][]).flat();
        return await this.#readBack(entries, { revision, earlier });
      } catch (error) {
        const translated = this.translate(error);
        const exhausted = attempt === MAX_WRITE_ATTEMPTS || performance.now() - began >= MAX_WRITE_MS;
        if (exhausted || this.#closed || !isUnavailable(translated) || refusesWrites(error)) throw translated;
        lostStamps.push(stamp);
        // Gives the network or the lock's holder time: at most a sixth of a second in all.
        await delay(5 * 2 ** attempt);
      }
    }
  }

  /** The server has acknowledged a commit that it does not show. Discards the session, which is no longer trustworthy. */
  #vanished(): ServiceError {
    this.#writer.renew();
    return storeUnavailable("the database has not kept the commit");
  }

  /**
   * Determines the outcome of each entry from the commits that are ours: `revision`, and those of earlier attempts. No lock is held while
   * reading.
   */
  async #readBack(
    entries: readonly NewEntry[],
    { revision, earlier }: { revision: Revision; earlier: readonly number[] },
  ): Promise<CommitResult> {
    const ours = new Set([revision.number, ...earlier]);
    const [found] = await this.#writer.query<[ReadBackRow[], ...unknown[]]>(readPacket(selectRows(entries)));
    const rows = new Map(
      found.map((row) => {
        const entry = entryAt(row, 2);
        return [entry.key, { changedIn: row[0], createdIn: row[1], entry }];
      }),
    );
    const results = entries.map((asked): WriteResult => {
      const row = rows.get(asked.key);
      if (row === undefined) throw expiredMeanwhile();
      const { changedIn, createdIn, entry } = row;
      if (extendsTimes(asked, entry)) throw expiredMeanwhile();
      return {
        outcome: ours.has(createdIn) ? "created" : ours.has(changedIn) ? "extended" : "unchanged",
        entry,
      };
    });
    // Another replica may have extended an entry since; the entry as returned is then part of that replica's commit.
    const newest = Math.max(...found.map(([changedIn]) => changedIn));
    if (newest <= revision.number) return { revision, results };
    const [[later]] = await this.#writer.query<[[number, unknown][], ...unknown[]]>(
      readPacket(selectStamp(newest)),
    );
    if (later === undefined) throw storeUnavailable("the database has lost the row of a commit");
    return { revision: revisionOf(later[0], later[1]), results };
  }

  translate(error: unknown): unknown {
    if (error instanceof ServiceError) return error;
    if (refusesWrites(error)) return storeUnavailable("the database takes no writes at the moment", error);
    if (isStatementFault(error)) return error;
    return storeUnavailable(
      `the database cannot be ${isFromServer(error) ? "used" : "reached"} at the moment`,
      error,
    );
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#reader.close();
    this.#writer.close();
    for (const reader of this.#readers) reader.close();
    await this.#pool.close();
  }
}

/** The entry has expired and been pruned since, so whether it existed before is unknown. */
function expiredMeanwhile(): ServiceError {
  return storeUnavailable("the token expired while it was being blacklisted");
}
