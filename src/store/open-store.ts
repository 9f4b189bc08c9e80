import { STORE_TIMEOUT_MS } from "../limits.ts";
import type { Clock } from "../time/clock.ts";
import type { DatabaseAddress } from "./database-url.ts";
import type { Engine } from "./engine.ts";
import { KnexStore } from "./knex-store.ts";
import { MysqlEngine } from "./mysql-engine.ts";
import { openSqliteEngine } from "./sqlite-engine.ts";
import type { Store } from "./store.ts";

/** Timeout of List's and Prune's statements, for which no check or revocation waits. */
const SLOW_STORE_TIMEOUT_MS = 8000;

/**
 * Opens the store at `address`. Does not wait for a server; `open()` does. Throws StartError if an embedded file cannot be used or
 * belongs to another process.
 */
export function openStore(address: DatabaseAddress, options: { clock: Clock; leewayMs: number }): Store {
  return new KnexStore(openEngine(address), options);
}

/** Opens the engine alone. `timeoutMs` bounds one statement of Knex's; migrations need a larger value than the service. */
export function openEngine(
  address: DatabaseAddress,
  { timeoutMs = SLOW_STORE_TIMEOUT_MS, connectTimeoutMs = STORE_TIMEOUT_MS } = {},
): Engine {
  return address.kind === "sqlite"
    ? openSqliteEngine(address.filename)
    : new MysqlEngine(address, { timeoutMs, connectTimeoutMs });
}
