import { existsSync } from "node:fs";
import { StartError } from "../errors.ts";
import type { DatabaseAddress } from "../store/database-url.ts";
import type { Engine } from "../store/engine.ts";
import { openEngine } from "../store/open-store.ts";
import { checkSchema, migrateUp, schemaStatus, unlockMigrations } from "../store/schema.ts";

export type MigrateAction = "up" | "status" | "check" | "unlock";

/**
 * Runs one action of `token-blacklist migrate`, reporting line by line to `print`. Only `up` and `unlock` change anything. Returns false if
 * `check` finds that this version cannot use the schema. Throws StartError if another migration holds the lock, and the errors of the
 * store.
 */
export async function migrate(
  action: MigrateAction,
  database: DatabaseAddress,
  print: (line: string) => void,
): Promise<boolean> {
  if (action !== "up" && database.kind === "sqlite" && !existsSync(database.filename)) {
    // Opening the file would create it.
    print(`the database file ${database.filename} does not exist: serve or migrate up creates it`);
    return action !== "check";
  }
  const engine = openEngine(database, {
    timeoutMs: MIGRATION_TIMEOUT_MS,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
  });
  try {
    return await ACTIONS[action](engine, print);
  } catch (error) {
    if ((error as Error).name === "MigrationLocked") {
      throw new StartError(
        "another migration holds the lock: wait for it, or, if it was killed, run `token-blacklist migrate unlock` and try again",
        { cause: error },
      );
    }
    throw engine.translate(error);
  } finally {
    await engine.close();
  }
}

/** A change to a table with hundreds of millions of rows may take hours. */
const MIGRATION_TIMEOUT_MS = 24 * 3_600_000;
/** No check or revocation waits for a migration, and a briefly busy server is no reason to stop between two migrations. */
const CONNECT_TIMEOUT_MS = 10_000;

type Action = (engine: Engine, print: (line: string) => void) => Promise<boolean>;

const ACTIONS: Record<MigrateAction, Action> = {
  async up({ knex }, print) {
    const names = await migrateUp(knex);
    for (const name of names) print(`applied  ${name}`);
    if (names.length === 0) print("the schema is up to date");
    return true;
  },

  async status({ knex }, print) {
    const { applied, pending, unknown } = await schemaStatus(knex);
    for (const name of applied) print(`applied  ${name}`);
    for (const name of unknown) print(`newer    ${name}`);
    for (const name of pending) print(`pending  ${name}`);
    return true;
  },

  async check(engine, print) {
    try {
      print((await checkSchema(engine)) ?? "the schema is up to date");
      return true;
    } catch (error) {
      if ((error as Error).name !== "SchemaError") throw error;
      print((error as Error).message);
      const { pending } = await schemaStatus(engine.knex);
      for (const name of pending) print(`pending  ${name}`);
      return false;
    }
  },

  async unlock({ knex }, print) {
    await unlockMigrations(knex);
    print("the migration lock is released");
    return true;
  },
};
