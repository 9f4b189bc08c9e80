import { setTimeout as delay } from "node:timers/promises";
import { createPool, type Pool, type RowDataPacket } from "mysql2/promise";
import { type PrivateMariadb, startMariadb } from "../../test/support/mariadb.ts";
import { expiredJtiSql } from "../tokens.ts";

/** The service's table, and one of the same layout that only its peers use. */
export const OUR_TABLE = "blacklisted_tokens";
export const PEER_TABLE = "peer_tokens";

const FILL_CHUNK = 20_000;
const HOUR_MS = 3_600_000;

/** What has been written so far. */
export interface Written {
  /** Commits that the service has acknowledged. */
  readonly commits: number;
  /** Bytes of the log that is flushed at every commit. */
  readonly logBytes: number;
}

/** A private MariaDB that flushes at every commit, with a database for the service. */
export class BenchDatabase {
  readonly #server: PrivateMariadb;
  readonly #url: string;
  readonly #pools: Pool[] = [];
  /** For work that is not measured. */
  readonly #admin: Pool;
  #fills = 0;
  #copied: Promise<void> | undefined;

  private constructor(server: PrivateMariadb, url: string) {
    this.#server = server;
    this.#url = url;
    this.#admin = this.pool(1);
  }

  /** All rows should fit into the buffer pool: a million take half a GiB in each of two tables. */
  static async start({ bufferPoolGiB = 2 } = {}): Promise<BenchDatabase> {
    const server = await startMariadb({
      // The defaults of the test suite are for a server that starts fast and holds little.
      extraArgs: [
        `--innodb-buffer-pool-size=${bufferPoolGiB}G`,
        "--innodb-log-file-size=1G",
        "--max-heap-table-size=1G",
      ],
    });
    return new BenchDatabase(server, (await server.createDatabase()).url);
  }

  get url(): string {
    return this.#url;
  }

  get pid(): number {
    return this.#server.pid;
  }

  /** A peer's own connections; they are closed with the database. */
  pool(connections: number): Pool {
    const pool = createPool({ uri: this.#url, connectionLimit: connections });
    this.#pools.push(pool);
    return pool;
  }

  async version(): Promise<string> {
    const [rows] = await this.#admin.query<RowDataPacket[]>("SELECT version() AS version");
    return rows[0]?.version as string;
  }

  /** Creates the peers' table unless it exists: same columns, indexes, checks and rows. */
  copyTable(): Promise<void> {
    this.#copied ??= this.#copyTable();
    return this.#copied;
  }

  async #copyTable(): Promise<void> {
    await this.#admin.query(`CREATE TABLE ${PEER_TABLE} LIKE ${OUR_TABLE}`);
    await this.#admin.query(`INSERT INTO ${PEER_TABLE} SELECT * FROM ${OUR_TABLE}`);
    await this.settle();
  }

  /** SELECTs that the server has run so far, prepared or not. */
  async selects(): Promise<number> {
    return this.#status("Com_select");
  }

  /** Statements in flight at this moment, except this one. */
  async underWay(): Promise<number> {
    return (await this.#status("Threads_running")) - 1;
  }

  async written(): Promise<Written> {
    const [rows] = await this.#admin.query<RowDataPacket[]>(
      "SELECT revision FROM blacklist_state WHERE id = 1",
    );
    return { commits: Number(rows[0]?.revision), logBytes: await this.#status("Innodb_lsn_current") };
  }

  /** The size of the service's table with its indexes, as estimated by the server. */
  async tableBytes(): Promise<number> {
    await this.#admin.query(`ANALYZE TABLE ${OUR_TABLE}`);
    const [rows] = await this.#admin.query<RowDataPacket[]>(
      "SELECT data_length + index_length AS bytes FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = ?",
      [OUR_TABLE],
    );
    return Number(rows[0]?.bytes);
  }

  async #status(variable: string): Promise<number> {
    const [rows] = await this.#admin.query<RowDataPacket[]>(`SHOW GLOBAL STATUS LIKE '${variable}'`);
    return Number(rows[0]?.Value);
  }

  /** Creates tables with the same columns and no secondary index: one otherwise like ours, one in memory. */
  async createBareTables(): Promise<void> {
    const columns = (
      bytes: number,
    ) => `jti VARBINARY(255) PRIMARY KEY, expires_at BIGINT NOT NULL, created_at BIGINT,
      reason VARBINARY(${bytes}) NOT NULL, revoked_by VARBINARY(${bytes}) NOT NULL, revision BIGINT NOT NULL, created_revision BIGINT NOT NULL`;
    await this.#admin.query("DROP TABLE IF EXISTS bare_tokens, memory_tokens");
    await this.#admin.query(`CREATE TABLE bare_tokens (${columns(255)}) ENGINE = InnoDB`);
    // Rows in memory are as wide as their columns.
    await this.#admin.query(`CREATE TABLE memory_tokens (${columns(16)}) ENGINE = MEMORY`);
  }

  /** Adds `count` rows that expired one to some hours ago, the same rows to each of `tables`. */
  async addExpired(count: number, tables: readonly string[]): Promise<void> {
    const jti = expiredJtiSql(`expired-${this.#fills++}`);
    const newest = Date.now() - HOUR_MS;
    for (const table of tables) {
      for (let from = 1; from <= count; from += FILL_CHUNK) {
        await this.#admin.query(
          `INSERT INTO ${table} (jti, expires_at, created_at, reason, revoked_by, revision, created_revision)
           SELECT ${jti}, ${newest} - seq * 50, ${newest - HOUR_MS} - seq * 50, 'logout', '', 0, 0
           FROM seq_1_to_${count} WHERE seq BETWEEN ${from} AND ${from + FILL_CHUNK - 1}`,
        );
      }
    }
    await this.settle();
  }

  async countExpired(): Promise<number> {
    const [rows] = await this.#admin.query<RowDataPacket[]>(
      `SELECT COUNT(*) AS count FROM ${OUR_TABLE} WHERE expires_at <= ?`,
      [Date.now() - HOUR_MS],
    );
    return Number(rows[0]?.count);
  }

  /** Waits, with a limit, until the server has purged earlier deletions. */
  async settle(): Promise<void> {
    for (let attempt = 0; attempt < 100; attempt++) {
      const [rows] = await this.#admin.query<RowDataPacket[]>(
        "SELECT `count` AS length FROM information_schema.innodb_metrics WHERE name = 'trx_rseg_history_len'",
      );
      if (Number(rows[0]?.length ?? 0) < 100) return;
      await delay(100);
    }
  }

  async close(): Promise<void> {
    for (const pool of this.#pools.splice(0)) pool.end().catch(() => {});
    // The data is not needed any more, and a clean shutdown would write it all out.
    await this.#server.kill();
    await this.#server.stop();
  }
}
