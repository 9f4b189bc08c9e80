import type { Knex } from "knex";

/** The random stamp of every commit of the last day, which tells apart two commits with the same number. */
export function up(knex: Knex): Knex.SchemaBuilder {
  return knex.schema.createTable("blacklist_commits", (table) => {
    table.bigInteger("revision").notNullable().primary();
    table.binary("stamp", 8).notNullable();
    table.bigInteger("committed_at").notNullable();
  });
}
