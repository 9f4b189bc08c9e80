import type { Socket } from "node:net";
import type { Connection, RowDataPacket } from "mysql2";
import { storeUnavailable } from "../errors.ts";

/**
 * The first statements of a session, on every server: no result is truncated, no statement is ended early, and a transaction that
 * `init_connect` began is rolled back. MySQL and MariaDB each run the version comment that is meant for them.
 */
const FIRST_STATEMENTS = [
  // Precedes any quoted text. The driver writes and reads UTF-8, regardless of the character set that the server derives from the handshake.
  "SET NAMES utf8mb4 COLLATE utf8mb4_bin",
  [
    "SET SESSION sql_select_limit = 18446744073709551615",
    // Otherwise SHOW SESSION VARIABLES could be refused because of the number of rows it examines.
    "sql_big_selects = 1",
    // Strict: a value that does not fit is an error, not a warning and a truncated row.
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
 * Further variables, each set on servers that have it, with its value. None needs a privilege. `docs/session-variables.md` has the
 * reasons, and the reasons for leaving every other variable alone.
 */
const OPTIONAL_VARIABLES: Readonly<Record<string, string>> = {
  alter_algorithm: "'DEFAULT'",
  check_constraint_checks: "1",
  default_storage_engine: "'InnoDB'",
  foreign_key_checks: "1",
  lc_messages: "'en_US'",
  max_sort_length: "1024",
  old_mode: "''",
  query_cache_type: "0",
  // A buffer that is too small makes every statement that sorts fail. MySQL needs the CAST: GREATEST of a signed and an unsigned
  // number would be a decimal number, which it rejects here.
  sort_buffer_size: "GREATEST(@@SESSION.sort_buffer_size, CAST(262144 AS UNSIGNED))",
  sql_auto_is_null: "0",
  sql_if_exists: "0",
  sql_safe_updates: "0",
  system_versioning_asof: "DEFAULT",
  unique_checks: "1",
  use_secondary_engine: "'OFF'",
  wait_timeout: "28800",
  wsrep_dirty_reads: "0",
  // A read waits until this node has applied what other nodes of the cluster have committed. Keeps other waits that are configured.
  wsrep_sync_wait: "@@SESSION.wsrep_sync_wait | 1",
};

/**
 * Makes a new session independent of the server's defaults and of its `init_connect`; every connection begins with this. Throws
 * STORE_UNAVAILABLE if commits of the session would not be replicated.
 */
export async function prepareSession(connection: Connection): Promise<void> {
  for (const sql of FIRST_STATEMENTS) await run(connection, sql);
  // Without a WHERE clause, whose evaluation would depend on variables that are not set yet.
  const values = new Map(await run<[string, string][]>(connection, "SHOW SESSION VARIABLES"));
  const settings = Object.entries(OPTIONAL_VARIABLES).filter(([name]) => values.has(name));
  if (settings.length > 0)
    await run(connection, `SET SESSION ${settings.map(([name, value]) => `${name} = ${value}`).join(", ")}`);
  const problem = replicationProblem(values);
  if (problem !== undefined)
    throw storeUnavailable("the database's sessions are not replicated", new Error(problem));
}

/**
 * Why commits of the session would not be replicated; undefined if they are. Only a privileged user can have changed these two variables:
 * in `init_connect`, or globally.
 */
function replicationProblem(values: ReadonlyMap<string, string>): string | undefined {
  if (values.get("log_bin") === "ON" && values.get("sql_log_bin") === "OFF")
    return "sql_log_bin is OFF in the service's sessions: commits would be missing after a failover. Take it out of init_connect";
  const provider = values.get("wsrep_provider") ?? "";
  if (provider !== "" && provider !== "none" && values.get("wsrep_on") === "OFF")
    return "wsrep_on is OFF on a node of a Galera cluster: commits would stay on that node. SET GLOBAL wsrep_on = ON";
  return undefined;
}

/** Runs a statement on a connection, or several if its options allow it. Rows are arrays. */
export function run<T>(connection: Connection, sql: string): Promise<T> {
  return new Promise((resolve, reject) => {
    // Without `values: null` mysql2 searches the whole text for question marks, which takes a millisecond per megabyte.
    connection.query<RowDataPacket[]>({ sql, values: null, rowsAsArray: true }, (error, result) => {
      if (error) reject(error);
      else resolve(result as T);
    });
  });
}

/**
 * Destroys a connection at once. mysql2's `destroy` only ends its own side of the socket and then waits for the server's side: with
 * a server that has become unreachable without a TCP close, it would wait for the kernel's timeout, hold a descriptor and keep the
 * process alive.
 */
export function destroyConnection(connection: Connection): void {
  connection.destroy();
  // `stream` is missing from mysql2's types. With TLS it is the outer socket, whose destruction destroys the inner one.
  (connection as Connection & { readonly stream: Socket }).stream.destroy();
}
