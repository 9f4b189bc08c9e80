import mysql, {
  type Connection,
  type ConnectionOptions,
  type PrepareStatementInfo,
  type RowDataPacket,
} from "mysql2";
import { STORE_TIMEOUT_MS } from "../limits.ts";
import { cutConnection } from "./cut-connection.ts";
import { prepareSession, run } from "./mysql-session.ts";

/** The server did not answer in time. It may be slow, stopped, or cut off without anyone having been told. */
export class SilenceError extends Error {
  override readonly name = "SilenceError";
}

type Values = readonly (number | Uint8Array)[];

/** A connection, and the statements that its server has prepared. */
class Session {
  readonly connection: Connection;
  /** Why the connection is gone, once it is: the driver itself says no more than that it is closed. */
  readonly loss: { cause?: Error };
  readonly #statements = new Map<string, PrepareStatementInfo>();

  constructor(connection: Connection, loss: { cause?: Error }) {
    this.connection = connection;
    this.loss = loss;
  }

  /** mysql2's own `execute` looks each statement up anew by a key that it makes of all options: as much work as the rest of it. */
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

/** A statement that has not been answered yet. */
interface UnderWay {
  /** By the monotonic clock. */
  readonly since: number;
  giveUp(error: Error): void;
}

/**
 * One connection for one purpose, made when it is first needed. After any error, and after any statement that did not
 * answer in time, it is destroyed: what its session still holds (an open transaction, a half-read answer) goes with it.
 */
export class MysqlConnection {
  readonly #options: ConnectionOptions;
  readonly #autocommit: boolean;
  #session: Promise<Session> | undefined;
  readonly #underWay = new Set<UnderWay>();
  #watch: NodeJS.Timeout | undefined;
  #closed = false;

  /** Without `autocommit` nothing is stored but by a COMMIT, whatever becomes of a transaction half-way. */
  constructor(options: ConnectionOptions, { autocommit = true } = {}) {
    this.#autocommit = autocommit;
    this.#options = {
      ...options,
      connectTimeout: STORE_TIMEOUT_MS,
      enableKeepAlive: true,
      rowsAsArray: true,
    };
  }

  /** Runs `sql`: one statement, or several where the options allow it. Rows come as arrays. */
  query<T>(sql: string): Promise<T> {
    return this.#use(({ connection }) => run<T>(connection, sql));
  }

  /** Runs one statement with values for its question marks, prepared the first time: less work for the server. */
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
      if (session !== undefined) cutConnection(session.connection);
      throw session?.loss.cause ?? error;
    }
  }

  async #connect(): Promise<Session> {
    const connection = mysql.createConnection(this.#options);
    const loss: { cause?: Error } = {};
    // Without a listener, a connection that breaks while idle ends the process.
    connection.on("error", (error) => {
      loss.cause ??= error;
      cutConnection(connection);
    });
    try {
      await new Promise<void>((resolve, reject) => {
        connection.connect((error) => (error ? reject(error) : resolve()));
      });
      await this.#inTime(connection, this.#prepare(connection));
    } catch (error) {
      cutConnection(connection);
      throw error;
    }
    if (this.#closed) cutConnection(connection);
    return new Session(connection, loss);
  }

  async #prepare(connection: Connection): Promise<void> {
    await prepareSession(connection);
    if (!this.#autocommit) await run(connection, "SET SESSION autocommit = 0");
  }

  /** A server that went away without a word never answers: the wait has to end here. */
  #inTime<T>(connection: Connection, work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const waiting: UnderWay = {
        since: performance.now(),
        giveUp: (error) => {
          this.#underWay.delete(waiting);
          cutConnection(connection);
          reject(error);
        },
      };
      this.#underWay.add(waiting);
      this.#watchFor(STORE_TIMEOUT_MS);
      work.then(
        (result) => {
          this.#underWay.delete(waiting);
          resolve(result);
        },
        (error: unknown) => {
          this.#underWay.delete(waiting);
          reject(error);
        },
      );
    });
  }

  /** One timer for all statements, of which thousands come and go before it fires. */
  #watchFor(ms: number): void {
    // The connection keeps the process for as long as there is anything to wait for.
    this.#watch ??= setTimeout(this.#look, ms).unref();
  }

  readonly #look = (): void => {
    this.#watch = undefined;
    for (const { since, giveUp } of this.#underWay) {
      const restMs = since + STORE_TIMEOUT_MS - performance.now();
      // They stand in the order in which they were sent.
      if (restMs > 0) {
        this.#watchFor(restMs);
        break;
      }
      giveUp(new SilenceError(`the database did not answer within ${STORE_TIMEOUT_MS} ms`));
    }
  };

  /** Connects anew with the next statement, unless one is under way. */
  renew(): void {
    if (this.#underWay.size > 0) return;
    this.#cut();
  }

  /** Statements under way fail at once. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#watch);
    for (const { giveUp } of this.#underWay) giveUp(new Error("the connection was closed"));
    this.#cut();
  }

  #cut(): void {
    this.#session?.then(
      ({ connection }) => cutConnection(connection),
      () => undefined,
    );
    this.#session = undefined;
  }
}
