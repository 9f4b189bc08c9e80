import { setTimeout as delay } from "node:timers/promises";
import knex, { type Knex } from "knex";
import MySQL2Client from "knex/lib/dialects/mysql2/index.js";
import type { Connection } from "mysql2";
import { cutConnection } from "./cut-connection.ts";
import type { DriverOptions } from "./mysql-address.ts";
import { isStatementFault } from "./mysql-errors.ts";
import { prepareSession } from "./mysql-session.ts";
import { withoutText } from "./without-text.ts";

export interface MysqlPool {
  readonly knex: Knex;
  /** Gives up every statement under way, and the connections with them. */
  abandon(): void;
  /** The same for good. */
  close(): Promise<void>;
}

export interface Patience {
  /** With one statement. */
  readonly timeoutMs: number;
  /** With a connection that is being made, and with the wait for one of the pool's. */
  readonly connectTimeoutMs: number;
}

const CLOSE_PATIENCE_MS = 50;

type PooledConnection = Connection & { __knex__disposed?: unknown };

interface Query {
  sql: string;
}

/**
 * Connections for statements that nobody's login waits for. Knex can neither end a connection whose server has gone silent nor a
 * statement on it: both are done here, by destroying the connection, `timeoutMs` after the statement was sent at the latest.
 */
export function createMysqlPool(
  options: DriverOptions,
  { timeoutMs, connectTimeoutMs }: Patience,
): MysqlPool {
  const underWay = new Set<(error: Error) => void>();

  class Client extends MySQL2Client {
    override async destroyRawConnection(connection: Connection): Promise<void> {
      // Knex would ask it politely to end, and wait for ever for one that no longer answers.
      cutConnection(connection);
    }

    override async _query(connection: PooledConnection, query: Query): Promise<unknown> {
      let giveUp = (_: Error) => {};
      const givenUp = new Promise<never>((_, reject) => {
        giveUp = (error) => {
          // What Knex looks at before it lends a connection again.
          connection.__knex__disposed = error;
          cutConnection(connection);
          reject(error);
        };
      });
      const timer = setTimeout(() => giveUp(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
      underWay.add(giveUp);
      try {
        return await withoutText(query, () => Promise.race([super._query(connection, query), givenUp]));
      } catch (error) {
        // As with every other connection: what its session holds, or was refused, goes with it. One that was made while the
        // account's password had expired would be refused for ever.
        if (!isStatementFault(error)) {
          connection.__knex__disposed = error;
          cutConnection(connection);
        }
        throw error;
      } finally {
        clearTimeout(timer);
        underWay.delete(giveUp);
      }
    }
  }

  function abandon(): void {
    for (const giveUp of underWay) giveUp(new Error("the connection was given up"));
  }

  const pool = knex({
    client: Client,
    connection: { ...options, connectTimeout: connectTimeoutMs },
    // Or Knex would write the values of a failed statement into the error's message.
    compileSqlOnError: false,
    acquireConnectionTimeout: connectTimeoutMs,
    // What goes wrong is thrown, and logged where it is handled; warnings go to nobody.
    log: { warn() {}, error() {}, deprecate() {}, debug() {} },
    pool: {
      min: 0,
      max: 4,
      afterCreate(connection: Connection, done: (error: unknown, connection: Connection) => void) {
        const fail = (error: unknown) => {
          // Knex forgets it, and would leave it open.
          cutConnection(connection);
          done(error, connection);
        };
        // The driver calls back neither for a server that went silent nor for a connection that is cut.
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
      // Knex waits for connections that are just being made, to a server that may be silent.
      await Promise.race([pool.destroy(), delay(CLOSE_PATIENCE_MS, undefined, { ref: false })]);
    },
  };
}
