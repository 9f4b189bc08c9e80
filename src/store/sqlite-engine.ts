import { randomBytes } from "node:crypto";
import { closeSync, existsSync, mkdirSync, openSync, statSync } from "node:fs";
import { dirname } from "node:path";
import type { Knex } from "knex";
import Libsql from "libsql";
import type { EpochMs, NewEntry } from "../entry.ts";
import { ServiceError, StartError, storeUnavailable } from "../errors.ts";
import type { Revision } from "../revision.ts";
import { extendsTimes, latestTimes } from "../token-identity.ts";
import type { Engine, Reader } from "./engine.ts";
import { dialectOf, openKnex } from "./knex-dialect.ts";
import { ENTRY_COLUMNS, type EntryRow, entryOf, TIME_COLUMNS, timeValues } from "./rows.ts";
import type { CommitResult, ExpiryContext, WriteResult } from "./store.ts";

type Database = Libsql.Database;

const CLOCK = "CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER)";

/**
 * The embedded database: one file, one process, one connection; every statement is synchronous. Writes, checks and the tail bypass Knex,
 * which would take longer than the statement. They never run within a transaction of Knex's, since only migrations have one.
 */
export class SqliteEngine implements Engine {
  readonly migratesOnOpen = true;
  readonly clockSql = CLOCK;
  readonly writableSql = "1";
  readonly knex: Knex;

  readonly #database: Database;
  #isClosed = false;

  constructor(database: Database) {
    this.#database = database;
    // libsql has better-sqlite3's interface, and its binary is part of the npm package: no compiler, no download.
    class Client extends dialectOf("better-sqlite3") {
      override async acquireRawConnection(): Promise<Database> {
        return database;
      }

      override initializeDriver(): void {
        this.driver = Libsql;
      }
    }
    this.knex = openKnex({
      client: Client,
      connection: { filename: database.name },
      pool: { min: 1, max: 1 },
    });
  }

  async nonTransactionalTables(): Promise<[]> {
    return [];
  }

  useIndexSql(name: string): string {
    return `INDEXED BY ${name}`;
  }

  openReader(): Reader {
    const statements = new Map<string, Libsql.Statement>();
    let closed = false;
    return {
      select: (sql, values) =>
        this.#use((database) => {
          if (closed) throw new Error("the reader is closed");
          let statement = statements.get(sql);
          if (statement === undefined) {
            statement = database.prepare(sql).raw();
            statements.set(sql, statement);
          }
          return statement.all([...values]) as unknown[][];
        }),
      close() {
        closed = true;
        statements.clear();
      },
    };
  }

  renewReaders(): void {
    // An embedded file has no failover.
  }

  async select(sql: string): Promise<readonly (readonly unknown[])[]> {
    return this.#use((database) => database.prepare(sql).raw().all() as unknown[][]);
  }

  async write(entries: readonly NewEntry[], context: ExpiryContext): Promise<CommitResult> {
    return this.#use((database) => {
      database.exec("BEGIN IMMEDIATE");
      try {
        const result = commit(database, entries, context);
        database.exec("COMMIT");
        if (!hasCommit(database, result.revision))
          throw storeUnavailable("the database has not kept the commit");
        return result;
      } catch (error) {
        if (database.inTransaction) database.exec("ROLLBACK");
        throw error;
      }
    });
  }

  async #use<T>(work: (database: Database) => T): Promise<T> {
    try {
      // A statement that was prepared before the database was closed would still run.
      if (this.#isClosed) throw new Error("the database is closed");
      return work(this.#database);
    } catch (error) {
      throw this.translate(error);
    }
  }

  translate(error: unknown): unknown {
    if (error instanceof ServiceError) return error;
    return isStatementFault(error) || !(error instanceof Error)
      ? error
      : storeUnavailable("the database file cannot be used at the moment", error);
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    try {
      // Leaves one complete file and releases its lock now, and not only when the last statement is garbage-collected.
      this.#database.pragma("journal_mode = DELETE");
      this.#database.pragma("locking_mode = NORMAL");
      this.#database.exec("SELECT count(*) FROM sqlite_master");
    } finally {
      await this.knex.destroy();
    }
  }
}

/** Opens an embedded database; creates it and its folder if they are missing. Throws StartError. */
export function openSqliteEngine(filename: string): SqliteEngine {
  try {
    createPrivately(filename);
    const database = new Libsql(filename);
    lockFile(database);
    return new SqliteEngine(database);
  } catch (error) {
    throw new StartError(openingProblem(filename, String((error as { code?: unknown }).code)), {
      cause: error,
    });
  }
}

function openingProblem(filename: string, code: string): string {
  if (code.startsWith("SQLITE_BUSY"))
    return `the database file ${filename} is in use by another process: is the service running already? Stop that one, or name another file in DATABASE_URL`;
  if (code.startsWith("SQLITE_NOTADB")) return `${filename} is not a SQLite database`;
  const reason = REASONS[code.replace(/^(SQLITE_READONLY).*/, "$1")] ?? "its path is not accessible";
  return `the database file ${filename} cannot be opened for writing: ${reason}`;
}

const REASONS: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  ENOENT: "the parent of its folder does not exist (only one missing folder is created)",
  ENOTDIR: "a part of its path is a file",
  ENOSPC: "the disk is full",
  EROFS: "the file system is read-only",
  SQLITE_READONLY: "it is read-only",
};

/** Locks the file for as long as the connection is open: the file belongs to one process. */
function lockFile(database: Database): void {
  database.pragma("busy_timeout = 0");
  database.pragma("locking_mode = EXCLUSIVE");
  database.pragma("journal_mode = WAL");
  // The WAL is flushed at every commit, so that an acknowledged Blacklist survives a power failure.
  database.pragma("synchronous = FULL");
  database.exec("BEGIN EXCLUSIVE; COMMIT");
}

/** True if a statement, or a value in it, is wrong. A missing table or column does not count: the file has been replaced. */
function isStatementFault(error: unknown): boolean {
  const { code, message } = error as { code?: unknown; message?: unknown };
  if (code === "SQLITE_ERROR") return /syntax error/.test(String(message));
  return /^SQLITE_(CONSTRAINT_(CHECK|NOTNULL)|MISMATCH|RANGE|TOOBIG)$/.test(String(code));
}

/** Whether the file shows the commit after COMMIT; only then is it acknowledged, as on a server. */
function hasCommit(database: Database, { number, stamp }: Revision): boolean {
  return (
    database
      .prepare("SELECT 1 FROM blacklist_commits WHERE revision = ? AND stamp = ?")
      .get(number, Buffer.from(stamp, "hex")) !== undefined
  );
}

function commit(database: Database, entries: readonly NewEntry[], context: ExpiryContext): CommitResult {
  const stamp = randomBytes(8);
  const { revision, clock } = database
    .prepare(
      `UPDATE blacklist_state SET revision = revision + 1 WHERE id = 1 RETURNING revision, ${CLOCK} AS clock`,
    )
    .get() as { revision: number; clock: number };
  database
    .prepare("INSERT INTO blacklist_commits (revision, stamp, committed_at) VALUES (?, ?, ?)")
    .run(revision, stamp, clock);
  // An entry that expires at this time or before has expired by both clocks.
  const dead = Math.min(clock, context.now) - context.leewayMs;
  const find = database.prepare(`SELECT ${ENTRY_COLUMNS.join()} FROM blacklisted_tokens WHERE jti = ?`);
  const replace = database.prepare(
    `INSERT OR REPLACE INTO blacklisted_tokens (${ENTRY_COLUMNS.join()}, revision, created_revision) VALUES (${Array(
      ENTRY_COLUMNS.length + 2,
    )
      .fill("?")
      .join()})`,
  );
  const extend = database.prepare(
    `UPDATE blacklisted_tokens SET ${TIME_COLUMNS.map((column) => `${column} = ?`).join()}, revision = ? WHERE jti = ?`,
  );

  const results = entries.map((entry): WriteResult => {
    const key = Buffer.from(entry.key);
    // In an array, because libsql takes a lone Buffer for an object of named parameters and ends the process.
    const row = find.get([key]) as EntryRow | undefined;
    if (row === undefined || row.expires_at <= dead) {
      replace.run(
        key,
        ...timeValues(entry),
        clock,
        Buffer.from(entry.reason),
        Buffer.from(entry.revokedBy),
        revision,
        revision,
      );
      return { outcome: "created", entry: { ...entry, createdAt: clock as EpochMs } };
    }
    const stored = entryOf(row);
    if (!extendsTimes(entry, stored)) return { outcome: "unchanged", entry: stored };
    const extended = { ...stored, ...latestTimes(entry, stored) };
    extend.run(...timeValues(extended), revision, key);
    return { outcome: "extended", entry: extended };
  });
  return { revision: { number: revision, stamp: stamp.toString("hex") }, results };
}

/** Suffixes of the files that SQLite keeps for a database, with the same permissions as the database file. */
const SUFFIXES = ["", "-wal", "-shm", "-journal"];
const FOLDER_MODE = 0o700;
const FILE_MODE = 0o600;
/** Permission bits of the group and of other users. */
const OTHERS_MODE = 0o077;

/**
 * Creates the file, empty, and its folder if they are missing, accessible to this user only: the file tells what was revoked and why,
 * and write access allows undoing a revocation.
 */
function createPrivately(filename: string): void {
  const folder = dirname(filename);
  // One level only: a path with more missing folders is taken for a mistake.
  if (!existsSync(folder)) mkdirSync(folder, { mode: FOLDER_MODE });
  // SQLite would apply the process's umask, which mostly lets all users read the file.
  if (!existsSync(filename)) closeSync(openSync(filename, "a", FILE_MODE));
}

/** The files of an embedded database that users other than the owner may read or write, as `PATH (MODE)`. */
export function filesOpenToOthers(filename: string): string[] {
  return SUFFIXES.flatMap((suffix) => {
    const path = `${filename}${suffix}`;
    const mode = statSync(path, { throwIfNoEntry: false })?.mode ?? 0;
    return (mode & OTHERS_MODE) === 0 ? [] : [`${path} (0${(mode & 0o777).toString(8)})`];
  });
}
