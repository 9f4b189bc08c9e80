import type { Knex } from "knex";
import type { EntryKey, EntryTimes, EpochMs, NewEntry } from "../entry.ts";
import { SchemaError, storeUnavailable } from "../errors.ts";
import { MAX_CLOCK_SKEW_MS } from "../limits.ts";
import type { Revision } from "../revision.ts";
import type { Clock } from "../time/clock.ts";
import { type Engine, literal, text } from "./engine.ts";
import { countBy, listPage } from "./listing.ts";
import { countExpired, deleteExpired, trimCommits } from "./pruning.ts";
import {
  expectedStampCount,
  hex,
  OLDEST_COMMIT_SQL,
  onlyRow,
  STATE_TABLES,
  stateColumns,
  stateOf,
  TIME_COLUMNS,
  tailEntry,
  truncatedResult,
} from "./rows.ts";
import { checkSchema, migrateUp } from "./schema.ts";
import type {
  CommitResult,
  CountQuery,
  DatabaseIdentity,
  ExpiryContext,
  ListPage,
  ListQuery,
  LookupResult,
  PoolUse,
  PruneResult,
  PruneTask,
  Store,
  Tail,
} from "./store.ts";
import { SqlTail } from "./tail.ts";

/** In the rows of {@link KnexStore.read}: the number of the state's columns, and the index of the key. */
const STATE_COLUMN_COUNT = 5;
const KEY_AT = 8;

/** The part of Knex's connection pool that is used here. */
interface Pool {
  readonly max: number;
  numUsed(): number;
  numFree(): number;
  numPendingAcquires(): number;
}

/** {@link Store} on any database that has an {@link Engine}. */
export class KnexStore implements Store {
  readonly #engine: Engine;
  readonly #clock: Clock;
  readonly #leewayMs: number;
  #identity: DatabaseIdentity | undefined;
  #opening: Promise<DatabaseIdentity> | undefined;

  constructor(engine: Engine, options: { clock: Clock; leewayMs: number }) {
    this.#engine = engine;
    this.#clock = options.clock;
    this.#leewayMs = options.leewayMs;
  }

  async open(): Promise<DatabaseIdentity> {
    if (this.#identity !== undefined) return this.#identity;
    this.#opening ??= this.#open().finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  async #open(): Promise<DatabaseIdentity> {
    return this.#onPool(async (knex) => {
      if (this.#engine.migratesOnOpen) await migrateUp(knex);
      const remark = await checkSchema(this.#engine);
      await knex("blacklist_state")
        .where({ id: 1 })
        .where("leeway_ms", "<", this.#leewayMs)
        .update({ leeway_ms: this.#leewayMs });
      const state = onlyRow(
        await knex("blacklist_state").where({ id: 1 }).first("generation", "secret", "leeway_ms"),
      );
      // Prune relies on the leeway, so it is read back rather than assumed to be stored.
      if (!(Number(state.leeway_ms) >= this.#leewayMs)) {
        throw storeUnavailable("the database has not kept the leeway that it was told");
      }
      const { generation, secret } = state;
      this.#identity = { generation: hex(generation), secret: Buffer.from(secret), remark };
      return this.#identity;
    });
  }

  /** Opens the store for a call. A schema that does not fit is reported as unavailable: only an operator can fix it. */
  async #ready(): Promise<DatabaseIdentity> {
    try {
      return await this.open();
    } catch (error) {
      throw error instanceof SchemaError
        ? storeUnavailable("the database is not prepared for this version of the service", error)
        : error;
    }
  }

  async write(entries: readonly NewEntry[], context: ExpiryContext): Promise<CommitResult> {
    const { generation } = this.#identity ?? (await this.#ready());
    return this.#engine.write(entries, context, generation);
  }

  async read(keys: readonly EntryKey[], required: readonly Revision[] = []): Promise<LookupResult> {
    const { generation } = this.#identity ?? (await this.#ready());
    const rows = await this.#engine.select(
      `SELECT ${stateColumns(this.#engine)}, ${countStamps(required)}, ${OLDEST_COMMIT_SQL}, ${countFound(keys, "tokens.jti")}, tokens.jti, ${TIME_COLUMNS.map((column) => `tokens.${column}`).join()}
       FROM ${STATE_TABLES}
       LEFT JOIN blacklisted_tokens tokens ON ${keys.length === 0 ? "1 = 0" : `tokens.jti IN (${keys.map(literal).join()})`}
       WHERE state.id = 1`,
    );
    const state = stateOf(rows[0], generation);
    const [stampCount, oldest, foundCount] = (rows[0] as unknown[]).slice(STATE_COLUMN_COUNT);
    checkFound(rows, foundCount);
    const found = new Map<string, EntryTimes>();
    for (const row of rows) if (row[KEY_AT] !== null) found.set(text(row[KEY_AT]), tailEntry(row, KEY_AT));
    if (!state.writable) this.#engine.renewReaders();
    const expected = expectedStampCount(required, { oldest: Number(oldest), last: state.revision.number });
    return { ...state, found, intact: Number(stampCount) === expected };
  }

  async missing(revisions: readonly Revision[]): Promise<Revision[]> {
    if (revisions.length === 0) return [];
    if (this.#identity === undefined) await this.#ready();
    const numbers = revisions.map(({ number }) => number).join();
    const rows = await this.#engine.select(
      `SELECT state.revision, ${OLDEST_COMMIT_SQL}, commits.revision, commits.stamp, ${countFound(revisions, "commits.revision")}
       FROM blacklist_state state LEFT JOIN blacklist_commits commits ON commits.revision IN (${numbers}) WHERE state.id = 1`,
    );
    const first = onlyRow(rows[0]);
    checkFound(rows, first[4]);
    const [last, oldest] = first.map(Number);
    const stamps = new Map(rows.filter((row) => row[3] !== null).map((row) => [Number(row[2]), hex(row[3])]));
    return revisions.filter(({ number, stamp }) => {
      const kept = stamps.get(number);
      if (kept !== undefined) return kept !== stamp;
      return !(number < (oldest as number) && number <= (last as number));
    });
  }

  openTail(): Tail {
    return new SqlTail(this.#engine, async () => (this.#identity ?? (await this.#ready())).generation);
  }

  async list(query: ListQuery): Promise<ListPage> {
    return this.#whenReady(async (knex) => {
      const asOf = query.asOf ?? (Math.min(await this.#databaseClock(), query.now) as EpochMs);
      return listPage(knex, query, asOf);
    });
  }

  async countBy(query: CountQuery): Promise<number> {
    return this.#whenReady(async (knex) => {
      const now = Math.min(await this.#databaseClock(), query.now);
      return countBy(knex, query, now - query.leewayMs);
    });
  }

  async prune(task: PruneTask): Promise<PruneResult> {
    return this.#whenReady(async (knex) => {
      const clock = await this.#databaseClock();
      const skew = Math.abs(clock - this.#clock.now());
      if (skew > MAX_CLOCK_SKEW_MS) {
        throw storeUnavailable(
          `the clocks of the service and of the database are ${Math.round(skew / 1000)} s apart: nothing is pruned`,
        );
      }
      const now = Math.min(clock, task.now);
      const retained = now - (await this.#keptMs(task));
      const cutoff = Math.min(retained, (task.expiredBefore ?? Number.POSITIVE_INFINITY) - 1);
      if (task.dryRun) return countExpired(knex, cutoff, task.limit);
      await trimCommits(knex, now);
      return deleteExpired(knex, cutoff, task);
    });
  }

  async oldestPrunable(
    context: ExpiryContext & { readonly retentionMs: number },
  ): Promise<EpochMs | undefined> {
    return this.#whenReady(async (knex) => {
      const now = Math.min(await this.#databaseClock(), context.now);
      const keptMs = await this.#keptMs(context);
      const { oldest } = onlyRow(await knex("blacklisted_tokens").min({ oldest: "expires_at" }).first());
      const prunableAt = Number(oldest) + keptMs;
      return oldest !== null && prunableAt <= now ? (prunableAt as EpochMs) : undefined;
    });
  }

  /** How long an entry is kept after its expiry, in milliseconds. */
  async #keptMs({ leewayMs, retentionMs }: { leewayMs: number; retentionMs: number }): Promise<number> {
    const state = await this.#engine.knex("blacklist_state").where({ id: 1 }).first("leeway_ms");
    const { leeway_ms } = onlyRow(state);
    return Math.max(Number(leeway_ms), leewayMs) + retentionMs;
  }

  get poolUse(): PoolUse {
    const { pool } = this.#engine.knex.client as { pool: Pool };
    const [used, idle] = [pool.numUsed(), pool.numFree()];
    return { used, idle, limit: pool.max, waiting: pool.numPendingAcquires() };
  }

  async #databaseClock(): Promise<number> {
    const { clockSql, knex } = this.#engine;
    const row = await knex.select(knex.raw(`${clockSql} AS clock`)).first();
    return Number(onlyRow(row).clock);
  }

  async #whenReady<T>(work: (knex: Knex) => Promise<T>): Promise<T> {
    if (this.#identity === undefined) await this.#ready();
    return this.#onPool(work);
  }

  /** Runs statements on the pool and translates their errors. */
  async #onPool<T>(work: (knex: Knex) => Promise<T>): Promise<T> {
    try {
      return await work(this.#engine.knex);
    } catch (error) {
      throw error instanceof SchemaError ? error : this.#engine.translate(error);
    }
  }

  async close(): Promise<void> {
    await this.#engine.close();
  }
}

/**
 * SQL that counts how many of these commits the history contains. It selects by number, the primary key; no two commits share a stamp, so
 * the two lists need no pairing.
 */
function countStamps(revisions: readonly Revision[]): string {
  if (revisions.length === 0) return "0";
  const numbers = revisions.map(({ number }) => number).join();
  const stamps = revisions.map(({ stamp }) => `x'${stamp}'`).join();
  return `(SELECT COUNT(*) FROM blacklist_commits WHERE revision IN (${numbers}) AND stamp IN (${stamps}))`;
}

/** SQL for a column with the number of rows found for `keys`; NULL for at most one key, since the result then always has one row. */
function countFound(keys: readonly unknown[], column: string): string {
  return keys.length > 1 ? `COUNT(${column}) OVER ()` : "NULL";
}

/** Throws if rows are missing. With a count of zero there is one row, which holds the state. */
function checkFound(rows: readonly unknown[], count: unknown): void {
  if (count !== null && rows.length !== Math.max(1, Number(count))) throw truncatedResult();
}
