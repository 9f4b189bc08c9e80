import { setTimeout as delay } from "node:timers/promises";
import type { Knex } from "knex";
import type { Connection } from "mysql2";
import { dialectOf, openKnex } from "./knex-dialect.ts";
import type { DriverOptions } from "./mysql-address.ts";
import { isStatementFault } from "./mysql-errors.ts";
import { destroyConnection, prepareSession } from "./mysql-session.ts";

export interface MysqlPool {
  readonly knex: Knex;
  /** Aborts every statement in flight and destroys its connection. */
  abandon(): void;
  /** {@link MysqlPool.abandon}, and closes the pool. */
  close(): Promise<void>;
}

export interface PoolTimeouts {
  /** Of one statement, in milliseconds. */
  readonly timeoutMs: number;
  /** Of opening a connection, and of waiting for a connection of the pool, in milliseconds. */
  readonly connectTimeoutMs: number;
}

/** How long closing waits for Knex, in milliseconds. */
const CLOSE_TIMEOUT_MS = 50;

/**
 * A pool for statements that neither a check nor a revocation waits for. Knex cannot end a connection whose server has gone silent, nor a
 * statement on it. So the connection is destroyed here, at most `timeoutMs` after the statement was sent.
 */
export function createMysqlPool(
  options: DriverOptions,
  { timeoutMs, connectTimeoutMs }: PoolTimeouts,
): MysqlPool {
  /** Functions that abort the statements in flight. */
  const inFlight = new Set<(error: Error) => void>();
  /** Connections that must not be used again. */
  const unusable = new WeakSet<Connection>();

  function discard(connection: Connection): void {
    unusable.add(connection);
    destroyConnection(connection);
  }

  class Client extends dialectOf("mysql2") {
    override async validateConnection(connection: Connection): Promise<boolean> {
      return !unusable.has(connection) && super.validateConnection(connection);
    }

    override async destroyRawConnection(connection: Connection): Promise<void> {
      // Knex would close the connection gracefully, and wait forever if the server no longer answers.
      destroyConnection(connection);
    }

    override async query(connection: Connection, query: unknown): Promise<unknown> {
      let giveUp = (_: Error) => {};
      const givenUp = new Promise<never>((_, reject) => {
        giveUp = (error) => {
          discard(connection);
          reject(error);
        };
      });
      const timer = setTimeout(() => giveUp(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
      inFlight.add(giveUp);
      try {
        return await Promise.race([super.query(connection, query), givenUp]);
      } catch (error) {
        // The session may hold state or restrictions: one that was opened while the account's password had expired stays restricted.
        if (!isStatementFault(error)) discard(connection);
        throw error;
      } finally {
        clearTimeout(timer);
        inFlight.delete(giveUp);
      }
    }
  }

  function abandon(): void {
    for (const giveUp of inFlight) giveUp(new Error("the connection was given up"));
  }

  const pool = openKnex({
    client: Client,
    connection: { ...options, connectTimeout: connectTimeoutMs },
    acquireConnectionTimeout: connectTimeoutMs,
    pool: {
      min: 0,
      max: 4,
      afterCreate(connection: Connection, done: (error: unknown, connection: Connection) => void) {
        const fail = (error: unknown) => {
          // Knex drops its reference to the connection without closing it.
          destroyConnection(connection);
          done(error, connection);
        };
        // The driver calls back neither for a silent server nor for a destroyed connection.
        const timer = setTimeout(
          () => fail(new Error(`the session was not prepared within ${connectTimeoutMs} ms`)),
          connectTimeoutMs,
        );
        prepareSession(connection)
          .then(() => done(undefined, connection), fail)
          .finally(() => clearTimeout(timer));
      },
    },
  });

  return {
    knex: pool,
    abandon,
    async close() {
      abandon();
      // Knex waits for connections that are being opened, possibly to a silent server.
      await Promise.race([pool.destroy(), delay(CLOSE_TIMEOUT_MS, undefined, { ref: false })]);
    },
  };
}
