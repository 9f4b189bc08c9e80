import type { Connection, RowDataPacket } from "mysql2";
import { storeUnavailable } from "../errors.ts";

/**
 * What a session needs before anything else, on every server: no answer is cut short, no statement ended early, and no transaction
 * that `init_connect` began goes on. A server runs the comment that is meant for it, and skips the other.
 */
const FIRST = [
  // Before any text in quotes. The driver writes and reads UTF-8, whatever the server makes of its handshake.
  "SET NAMES utf8mb4 COLLATE utf8mb4_bin",
  [
    "SET SESSION sql_select_limit = 18446744073709551615",
    // Or what asks which variables there are would be refused for the number of rows that it looks at.
    "sql_big_selects = 1",
    // Strict: a value that does not fit is an error, never a warning and a truncated row.
    "sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'",
    "completion_type = 'NO_CHAIN'",
    "autocommit = 1",
    "time_zone = '+00:00'",
    "innodb_lock_wait_timeout = 1 /*M!100101 , max_statement_time = 0 */ /*!50708 , max_execution_time = 0 */",
  ].join(", "),
  "ROLLBACK",
  "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE",
];

/**
 * Further variables, each set where the server has it, and the value that it is given. None takes a privilege.
 * `docs/session-variables.md` has the reasons, and those for leaving every other variable as it is.
 */
const WHERE_KNOWN: Readonly<Record<string, string>> = {
  alter_algorithm: "'DEFAULT'",
  check_constraint_checks: "1",
  default_storage_engine: "'InnoDB'",
  foreign_key_checks: "1",
  lc_messages: "'en_US'",
  max_sort_length: "1024",
  old_mode: "''",
  query_cache_type: "0",
  // Too small a one ends every statement that sorts. The CAST is for MySQL: of a signed and an unsigned number it makes a decimal one,
  // which it does not take.
  sort_buffer_size: "GREATEST(@@SESSION.sort_buffer_size, CAST(262144 AS UNSIGNED))",
  sql_auto_is_null: "0",
  sql_if_exists: "0",
  sql_safe_updates: "0",
  system_versioning_asof: "DEFAULT",
  unique_checks: "1",
  use_secondary_engine: "'OFF'",
  wait_timeout: "28800",
  wsrep_dirty_reads: "0",
  // A read waits until this node of a cluster has what was committed on the others, beside whatever else waits already.
  wsrep_sync_wait: "@@SESSION.wsrep_sync_wait | 1",
};

/**
 * Makes a new session independent of the server's defaults and of its `init_connect`: every connection begins with this, whatever
 * it is for. Throws STORE_UNAVAILABLE where what is committed in the session would not reach the server's replicas.
 */
export async function prepareSession(connection: Connection): Promise<void> {
  for (const sql of FIRST) await run(connection, sql);
  // All of them: how a condition is carried out depends on variables that are not set yet.
  const values = new Map(await run<[string, string][]>(connection, "SHOW SESSION VARIABLES"));
  const settings = Object.entries(WHERE_KNOWN).filter(([name]) => values.has(name));
  if (settings.length > 0)
    await run(connection, `SET SESSION ${settings.map(([name, value]) => `${name} = ${value}`).join(", ")}`);
  const problem = keepsToItself(values);
  if (problem !== undefined)
    throw storeUnavailable("the database's sessions are not replicated", new Error(problem));
}

/** Only a privileged user can change these two, and such a user has: in `init_connect`, or for all. */
function keepsToItself(values: ReadonlyMap<string, string>): string | undefined {
  if (values.get("log_bin") === "ON" && values.get("sql_log_bin") === "OFF")
    return "sql_log_bin is OFF in the service's sessions: commits would be missing after a failover. Take it out of init_connect";
  const provider = values.get("wsrep_provider") ?? "";
  if (provider !== "" && provider !== "none" && values.get("wsrep_on") === "OFF")
    return "wsrep_on is OFF on a node of a Galera cluster: commits would stay on that node. SET GLOBAL wsrep_on = ON";
  return undefined;
}

/** Runs a statement on a connection, or several where its options allow it. Rows come as arrays. */
export function run<T>(connection: Connection, sql: string): Promise<T> {
  return new Promise((resolve, reject) => {
    // Without `values: null` mysql2 searches the whole text for question marks, which takes a millisecond a megabyte.
    connection.query<RowDataPacket[]>({ sql, values: null, rowsAsArray: true }, (error, result) => {
      if (error) reject(error);
      else resolve(result as T);
    });
  });
}
