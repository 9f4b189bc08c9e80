import mysql, { type Connection, type ConnectionOptions, type RowDataPacket } from "mysql2";
import { STORE_TIMEOUT_MS } from "../limits.ts";
import { cutConnection } from "./cut-connection.ts";

/** The server did not answer in time. It may be slow, stopped, or cut off without anyone having been told. */
export class SilenceError extends Error {
  override readonly name = "SilenceError";
}

/** What every session is told first, so that nothing depends on the server's defaults. */
const SESSION = [
  "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
  // Strict: a value that does not fit is an error, never a warning and a truncated row.
  "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', time_zone = '+00:00', autocommit = 1, innodb_lock_wait_timeout = 1",
];

/** Runs the statements that every session starts with. */
export async function prepareSession(connection: Connection): Promise<void> {
  for (const sql of SESSION) await run(connection, { sql });
}

export function run<T>(connection: Connection, query: { sql: string; rowsAsArray?: boolean }): Promise<T> {
  return new Promise((resolve, reject) => {
    // Without `values: null` mysql2 searches the whole text for question marks, which takes a millisecond a megabyte.
    connection.query<RowDataPacket[]>({ ...query, values: null }, (error, result) => {
      if (error) reject(error);
      else resolve(result as T);
    });
  });
}

/**
 * One connection for one purpose, made when it is first needed. After any error, and after any statement that did not
 * answer in time, it is destroyed: what its session still holds (an open transaction, a half-read answer) goes with it.
 */
export class MysqlConnection {
  readonly #options: ConnectionOptions;
  #connection: Promise<Connection> | undefined;
  readonly #underWay = new Set<(error: Error) => void>();
  #closed = false;

  constructor(options: ConnectionOptions) {
    this.#options = { ...options, connectTimeout: STORE_TIMEOUT_MS, enableKeepAlive: true };
  }

  /** Runs `sql`: one statement, or several where the options allow it. Rows come as arrays. */
  query<T>(sql: string): Promise<T> {
    return this.#use((connection) => run<T>(connection, { sql, rowsAsArray: true }));
  }

  /** Runs one statement with values for its question marks, prepared the first time: less work for the server. */
  execute<T>(sql: string, values: readonly (number | Uint8Array)[]): Promise<T> {
    return this.#use(
      (connection) =>
        new Promise((resolve, reject) => {
          connection.execute<RowDataPacket[]>(
            { sql, values: values as (number | Buffer)[], rowsAsArray: true },
            (error, rows) => {
              if (error) reject(error);
              else resolve(rows as T);
            },
          );
        }),
    );
  }

  async #use<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
    if (this.#closed) throw new Error("the connection is closed");
    this.#connection ??= this.#connect();
    const opening = this.#connection;
    let connection: Connection | undefined;
    try {
      connection = await opening;
      return await this.#inTime(connection, work(connection));
    } catch (error) {
      if (this.#connection === opening) this.#connection = undefined;
      if (connection !== undefined) cutConnection(connection);
      throw error;
    }
  }

  async #connect(): Promise<Connection> {
    const connection = mysql.createConnection(this.#options);
    // Without a listener, a connection that breaks while idle ends the process.
    connection.on("error", () => cutConnection(connection));
    try {
      await new Promise<void>((resolve, reject) => {
        connection.connect((error) => (error ? reject(error) : resolve()));
      });
      await this.#inTime(connection, prepareSession(connection));
    } catch (error) {
      cutConnection(connection);
      throw error;
    }
    if (this.#closed) cutConnection(connection);
    return connection;
  }

  /** A server that went away without a word never answers: the wait has to end here. */
  async #inTime<T>(connection: Connection, work: Promise<T>): Promise<T> {
    let giveUp = (_: Error) => {};
    const givenUp = new Promise<never>((_, reject) => {
      giveUp = (error) => {
        cutConnection(connection);
        reject(error);
      };
    });
    const timer = setTimeout(() => {
      giveUp(new SilenceError(`the database did not answer within ${STORE_TIMEOUT_MS} ms`));
    }, STORE_TIMEOUT_MS);
    this.#underWay.add(giveUp);
    try {
      return await Promise.race([work, givenUp]);
    } finally {
      clearTimeout(timer);
      this.#underWay.delete(giveUp);
    }
  }

  /** Connects anew with the next statement, unless one is under way. */
  renew(): void {
    if (this.#underWay.size > 0) return;
    this.#connection?.then(cutConnection, () => undefined);
    this.#connection = undefined;
  }

  /** Statements under way fail at once. */
  close(): void {
    this.#closed = true;
    for (const giveUp of this.#underWay) giveUp(new Error("the connection was closed"));
    this.#connection?.then(
      (connection) => cutConnection(connection),
      () => undefined,
    );
    this.#connection = undefined;
  }
}
