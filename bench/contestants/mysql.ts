import type { ResultSetHeader } from "mysql2/promise";
import type { Contestant } from "../contestant.ts";
import { type BenchDatabase, OUR_TABLE, PEER_TABLE } from "../stage/database.ts";
import { freshJti, probes } from "../tokens.ts";

/** More connections only queue for the cores. */
const READ_CONNECTIONS = 16;
const DAY_MS = 86_400_000;

/** What most applications do: one query per check. */
export function plainSelect(size: number, database: BenchDatabase): Contestant {
  const pool = database.pool(READ_CONNECTIONS);
  const next = probes(size);
  const wanted = size === 1 ? "= ?" : `IN (${Array.from({ length: size }, () => "?").join()})`;
  const sql = `SELECT ${size === 1 ? "1" : "jti"} FROM ${OUR_TABLE} WHERE jti ${wanted}`;
  return {
    name: size === 1 ? "plain SELECT" : "plain SELECT ... IN",
    pids: [database.pid],
    call: async () => {
      await pool.execute(sql, next() as string[]);
    },
  };
}

/** Many rows in one statement, with one commit and flush. */
export function multiRowInsert(
  name: string,
  { table, rows }: { table: string; rows: number },
  database: BenchDatabase,
): Contestant {
  const pool = database.pool(1);
  return {
    name,
    pids: [database.pid],
    async call() {
      const now = Date.now();
      const values = Array.from(
        { length: rows },
        () =>
          `(x'${Buffer.from(freshJti()).toString("hex")}',${now + DAY_MS},${now},x'6c6f676f7574',x'',0,0)`,
      );
      const [{ affectedRows }] = await pool.query<ResultSetHeader>(
        `INSERT INTO ${table} (jti, expires_at, created_at, reason, revoked_by, revision, created_revision) VALUES ${values.join()}`,
      );
      if (affectedRows !== rows) throw new Error("not all rows were inserted");
    },
  };
}

/** One row, with a commit and flush per row. */
export function plainInsert(callers: number, database: BenchDatabase): Contestant {
  const pool = database.pool(callers);
  const sql = `INSERT INTO ${PEER_TABLE} (jti, expires_at, created_at, reason, revoked_by, revision, created_revision)
    VALUES (?, ?, ?, 'logout', '', 0, 0)`;
  return {
    name: "plain INSERT",
    pids: [database.pid],
    async call() {
      const now = Date.now();
      const [{ affectedRows }] = await pool.execute<ResultSetHeader>(sql, [freshJti(), now + DAY_MS, now]);
      if (affectedRows !== 1) throw new Error("the row was not inserted");
    },
  };
}
