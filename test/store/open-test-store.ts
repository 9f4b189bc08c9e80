import type { EpochMs, Jti, NewEntry } from "../../src/entry.ts";
import { migrate } from "../../src/start/migrate.ts";
import { parseDatabaseUrl } from "../../src/store/database-url.ts";
import type { Engine } from "../../src/store/engine.ts";
import { KnexStore } from "../../src/store/knex-store.ts";
import { openEngine } from "../../src/store/open-store.ts";
import type { ListFilter, ListQuery, Store } from "../../src/store/store.ts";
import { type Clock, systemClock } from "../../src/time/clock.ts";

export interface TestStore {
  readonly store: Store;
  /** Direct access to the database, for states that only time or an accident causes. */
  readonly engine: Engine;
}

export interface StoreOptions {
  readonly clock?: Clock;
  readonly leewayMs?: number;
}

/** Opens stores on the test's own database, and closes them after it. */
export interface OpenStores {
  open(options?: StoreOptions): Promise<TestStore>;
  /** Closes and reopens it, as a restart does. */
  reopen(options?: StoreOptions): Promise<TestStore>;
}

/** The store at `url`, with the current schema. */
export async function openTestStore(
  url: string,
  { clock = systemClock, leewayMs = LEEWAY }: StoreOptions = {},
): Promise<TestStore> {
  const address = parseDatabaseUrl(url);
  if (address.kind === "mysql") await migrate("up", address, () => {});
  const engine = openEngine(address);
  const store = new KnexStore(engine, { clock, leewayMs });
  try {
    await store.open();
  } catch (error) {
    await store.close();
    throw error;
  }
  return { store, engine };
}

export const LEEWAY = 60_000;
export const HOUR = 3_600_000;

export const jti = (text: string) => text as Jti;
export const at = (ms: number) => ms as EpochMs;

/** An entry with defaults for the fields that the test does not need; it expires in an hour. */
export function entry(name: string, rest: Partial<Omit<NewEntry, "key">> = {}): NewEntry {
  return { key: jti(name), expiresAt: at(Date.now() + HOUR), reason: "", revokedBy: "", ...rest };
}

export function expiryContext(now: number = Date.now(), leewayMs: number = LEEWAY) {
  return { now: at(now), leewayMs };
}

/** Lists the unexpired entries by default. */
export function query(rest: Partial<ListQuery>, filter: Partial<ListFilter> = {}): ListQuery {
  const everything = {
    includeExpired: false,
    createdAfter: undefined,
    createdBefore: undefined,
    revokedBy: undefined,
    keys: undefined,
  };
  return {
    limit: 100,
    after: undefined,
    asOf: undefined,
    ...expiryContext(),
    ...rest,
    filter: { ...everything, ...filter },
  };
}
