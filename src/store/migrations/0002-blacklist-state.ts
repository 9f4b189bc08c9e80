import type { Knex } from "knex";

/** One row: the lock that orders all commits, and the values that all replicas share. */
export function up(knex: Knex): Knex.SchemaBuilder {
  return knex.schema.createTable("blacklist_state", (table) => {
    table.integer("id").notNullable().primary();
    table.bigInteger("revision").notNullable();
    table.binary("generation", 16).notNullable();
    table.binary("secret", 32).notNullable();
    table.bigInteger("leeway_ms").notNullable();
    table.integer("oldest_code").notNullable();
  });
}
