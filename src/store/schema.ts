import type { Knex } from "knex";
import { SchemaError, storeUnavailable } from "../errors.ts";
import type { Engine } from "./engine.ts";
import { MIGRATIONS } from "./migrations.ts";

/** Knex requires it of each migration. */
async function down(): Promise<never> {
  throw new Error("the blacklist is not dropped by a migration");
}

/** The schema version of this program. `oldest_code` in the state row is the lowest version that may use the schema. */
export const CODE_VERSION = Object.keys(MIGRATIONS).length;

const CONFIG: Knex.MigratorConfig = {
  tableName: "blacklist_migrations",
  // A newer version may have applied more migrations: two versions run side by side during an upgrade.
  disableMigrationsListValidation: true,
  migrationSource: {
    getMigrations: async () => Object.keys(MIGRATIONS),
    getMigrationName: (name: string) => name,
    getMigration: async (name: string) => ({ up: MIGRATIONS[name] as Knex.Migration["up"], down }),
  },
};

interface SchemaStatus {
  readonly applied: readonly string[];
  readonly pending: readonly string[];
  /** Applied by a newer version of this program. */
  readonly unknown: readonly string[];
}

export async function schemaStatus(knex: Knex): Promise<SchemaStatus> {
  const names = (await knex.schema.hasTable("blacklist_migrations"))
    ? (await knex("blacklist_migrations").orderBy("id").select("name")).map((row) => String(row.name))
    : [];
  return {
    applied: names.filter((name) => Object.hasOwn(MIGRATIONS, name)),
    pending: Object.keys(MIGRATIONS).filter((name) => !names.includes(name)),
    unknown: names.filter((name) => !Object.hasOwn(MIGRATIONS, name)),
  };
}

/** Applies the pending migrations and returns their names. Throws STORE_UNAVAILABLE if the database does not have them afterwards. */
export async function migrateUp(knex: Knex): Promise<string[]> {
  const [, names] = await knex.migrate.latest(CONFIG);
  if (names.length === 0) return names;
  const { pending } = await schemaStatus(knex);
  const commit = await knex("blacklist_state as state")
    .join("blacklist_commits as commits", "commits.revision", "state.revision")
    .first("state.id");
  if (pending.length > 0 || commit === undefined) {
    throw storeUnavailable("the database has not kept what was migrated");
  }
  return names;
}

/** Releases the lock that a migration left behind when it was killed. */
export async function unlockMigrations(knex: Knex): Promise<void> {
  if (await knex.schema.hasTable("blacklist_migrations_lock"))
    await knex.migrate.forceFreeMigrationsLock(CONFIG);
}

/** Throws SchemaError unless this version may use the schema. Returns a remark for the operator; undefined if there is none. */
export async function checkSchema(engine: Engine): Promise<string | undefined> {
  const { knex } = engine;
  const { pending, unknown } = await schemaStatus(knex);
  if (pending.length > 0) {
    throw new SchemaError(
      `the database's schema is out of date (${pending.length} of ${CODE_VERSION} migrations missing): run \`token-blacklist migrate up\``,
    );
  }
  const state = await knex("blacklist_state").where({ id: 1 }).first("oldest_code");
  const oldestCode = Number(state?.oldest_code);
  if (!(oldestCode <= CODE_VERSION)) {
    throw new SchemaError(
      `the database's schema no longer supports this version of token-blacklist (schema level ${CODE_VERSION}, at least ${oldestCode} needed): upgrade token-blacklist`,
    );
  }
  const [table] = await engine.nonTransactionalTables();
  if (table !== undefined) {
    throw new SchemaError(
      `the table ${table.name} is kept by ${table.engine}, which has no transactions: ALTER TABLE ${table.name} ENGINE = InnoDB`,
    );
  }
  return unknown.length > 0
    ? `the database's schema is newer than this version of token-blacklist, and still supports it (${unknown.join(", ")})`
    : undefined;
}
