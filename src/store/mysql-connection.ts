import mysql, {
  type Connection,
  type ConnectionOptions,
  type PrepareStatementInfo,
  type RowDataPacket,
} from "mysql2";
import { STORE_TIMEOUT_MS } from "../limits.ts";
import { destroyConnection, prepareSession, run } from "./mysql-session.ts";

/** The server did not answer in time. */
export class QueryTimeoutError extends Error {
  override readonly name = "QueryTimeoutError";
}

type Values = readonly (number | Uint8Array)[];

/** A connection and its prepared statements. */
class Session {
  readonly connection: Connection;
  /** `cause` is the error that ended the connection. Later errors of the driver only say that the connection is closed. */
  readonly loss: { cause?: Error };
  readonly #statements = new Map<string, PrepareStatementInfo>();

  constructor(connection: Connection, loss: { cause?: Error }) {
    this.connection = connection;
    this.loss = loss;
  }

  /**
   * Runs a statement that is prepared once per connection. Not by mysql2's own `execute`, which computes a cache key from all options for each
   * call; that costs as much as the rest of the call.
   */
  async execute<T>(sql: string, values: Values): Promise<T> {
    const statement = this.#statements.get(sql) ?? (await this.#prepare(sql));
    return new Promise((resolve, reject) => {
      statement.execute<RowDataPacket[]>(values, (error, rows) => {
        if (error) reject(error);
        else resolve(rows as T);
      });
    });
  }

  #prepare(sql: string): Promise<PrepareStatementInfo> {
    return new Promise((resolve, reject) => {
      this.connection.prepare(sql, (error, statement) => {
        if (error) return reject(error);
        this.#statements.set(sql, statement);
        resolve(statement);
      });
    });
  }
}

/** A statement in flight, sent at `since` by the monotonic clock. */
interface InFlight {
  readonly since: number;
  /** Rejects the statement and destroys the connection. */
  giveUp(error: Error): void;
}

/**
 * One connection for one purpose, opened on first use. It is destroyed after any error or timeout, because its session may still hold an
 * open transaction or a half-read result.
 */
export class MysqlConnection {
  readonly #options: ConnectionOptions;
  readonly #autocommit: boolean;
  #session: Promise<Session> | undefined;
  readonly #inFlight = new Set<InFlight>();
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  /**
   * Without `autocommit` only a COMMIT stores anything. With it, if the server rolled a transaction back half-way, the remaining statements would
   * each be committed.
   */
  constructor(options: ConnectionOptions, { autocommit = true } = {}) {
    this.#autocommit = autocommit;
    this.#options = {
      ...options,
      connectTimeout: STORE_TIMEOUT_MS,
      enableKeepAlive: true,
      rowsAsArray: true,
    };
  }

  /** Runs `sql`: one statement, or several if the options allow it. Rows are arrays. */
  query<T>(sql: string): Promise<T> {
    return this.#use(({ connection }) => run<T>(connection, sql));
  }

  /** Runs one statement with values for its question marks. It is prepared on first use, which saves the server work. */
  execute<T>(sql: string, values: Values): Promise<T> {
    return this.#use((session) => session.execute(sql, values));
  }

  async #use<T>(work: (session: Session) => Promise<T>): Promise<T> {
    if (this.#closed) throw new Error("the connection is closed");
    this.#session ??= this.#connect();
    const opening = this.#session;
    let session: Session | undefined;
    try {
      session = await opening;
      return await this.#inTime(session.connection, work(session));
    } catch (error) {
      if (this.#session === opening) this.#session = undefined;
      if (session !== undefined) destroyConnection(session.connection);
      throw session?.loss.cause ?? error;
    }
  }

  async #connect(): Promise<Session> {
    const connection = mysql.createConnection(this.#options);
    const loss: { cause?: Error } = {};
    // Without a listener, a connection that breaks while idle would end the process.
    connection.on("error", (error) => {
      loss.cause ??= error;
      destroyConnection(connection);
    });
    try {
      await new Promise<void>((resolve, reject) => {
        connection.connect((error) => (error ? reject(error) : resolve()));
      });
      await this.#inTime(connection, this.#prepare(connection));
    } catch (error) {
      destroyConnection(connection);
      throw error;
    }
    if (this.#closed) destroyConnection(connection);
    return new Session(connection, loss);
  }

  async #prepare(connection: Connection): Promise<void> {
    await prepareSession(connection);
    if (!this.#autocommit) await run(connection, "SET SESSION autocommit = 0");
  }

  /** A server that has become unreachable without a TCP close never answers, so the wait is bounded here. */
  #inTime<T>(connection: Connection, work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const waiting: InFlight = {
        since: performance.now(),
        giveUp: (error) => {
          this.#inFlight.delete(waiting);
          destroyConnection(connection);
          reject(error);
        },
      };
      this.#inFlight.add(waiting);
      this.#startTimer(STORE_TIMEOUT_MS);
      work.finally(() => this.#inFlight.delete(waiting)).then(resolve, reject);
    });
  }

  /** One timer for all statements, because thousands come and go before it fires. */
  #startTimer(ms: number): void {
    // The connection itself keeps the process alive while a statement is in flight.
    this.#timer ??= setTimeout(this.#endOverdue, ms).unref();
  }

  /** Gives up the statements that have timed out, and starts the timer for the next one. */
  readonly #endOverdue = (): void => {
    this.#timer = undefined;
    for (const { since, giveUp } of this.#inFlight) {
      const restMs = since + STORE_TIMEOUT_MS - performance.now();
      // The set has the order in which the statements were sent.
      if (restMs > 0) {
        this.#startTimer(restMs);
        break;
      }
      giveUp(new QueryTimeoutError(`the database did not answer within ${STORE_TIMEOUT_MS} ms`));
    }
  };

  /** Reconnects at the next statement, unless a statement is in flight. */
  renew(): void {
    if (this.#inFlight.size === 0) this.#disconnect();
  }

  /** Statements in flight fail at once. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const { giveUp } of this.#inFlight) giveUp(new Error("the connection was closed"));
    this.#disconnect();
  }

  #disconnect(): void {
    this.#session?.then(({ connection }) => destroyConnection(connection)).catch(() => {});
    this.#session = undefined;
  }
}
