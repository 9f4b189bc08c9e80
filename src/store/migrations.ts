import { randomBytes } from "node:crypto";
import type { Knex } from "knex";

/** The migrations by name, in order. MySQL cannot roll DDL back, so each that has DDL is one statement, which is either applied or not. */
export const MIGRATIONS: Record<string, Knex.Migration["up"]> = {
  /**
   * Identifiers are bytes, not text: a collation would make `abc` and `ABC` the same token, or ignore the trailing space of `abc `. Times are whole
   * milliseconds since 1970, so that no session's time zone affects them.
   */
  "0001-blacklisted-tokens": ({ schema }) =>
    schema.createTable("blacklisted_tokens", (table) => {
      table.binary("jti", 255).notNullable();
      table.bigInteger("expires_at").notNullable();
      table.bigInteger("created_at").nullable();
      table.binary("reason", 512).notNullable();
      table.binary("revoked_by", 255).notNullable();
      table.bigInteger("revision").notNullable();
      table.bigInteger("created_revision").notNullable();
      table.primary(["jti"]);
      table.index(["revision", "jti"], "blacklisted_tokens_tail");
      table.index(["expires_at"], "blacklisted_tokens_prune");
      table.index(["created_at", "jti"], "blacklisted_tokens_list");
      table.index(["revoked_by", "created_at", "jti"], "blacklisted_tokens_revoked_by");
      table.check("length(jti) between 1 and 255", undefined, "blacklisted_tokens_jti");
      table.check("length(reason) <= 512", undefined, "blacklisted_tokens_reason");
      table.check("length(revoked_by) <= 255", undefined, "blacklisted_tokens_by");
    }),

  /** One row: the lock that orders all commits, and the values that all replicas share. */
  "0002-blacklist-state": ({ schema }) =>
    schema.createTable("blacklist_state", (table) => {
      table.integer("id").notNullable().primary();
      table.bigInteger("revision").notNullable();
      table.binary("generation", 16).notNullable();
      table.binary("secret", 32).notNullable();
      table.bigInteger("leeway_ms").notNullable();
      table.integer("oldest_code").notNullable();
    }),

  /** The random stamp of every commit of the last day, which tells apart two commits with the same number. */
  "0003-blacklist-commits": ({ schema }) =>
    schema.createTable("blacklist_commits", (table) => {
      table.bigInteger("revision").notNullable().primary();
      table.binary("stamp", 8).notNullable();
      table.bigInteger("committed_at").notNullable();
    }),

  /** Revision 0, with a commit like every other revision. Both rows or none: INSERTs, unlike DDL, are transactional on MySQL. */
  async "0004-first-revision"(knex) {
    // The preceding DDL has ended the transaction that Knex began: without a new one each row would be committed separately.
    if (knex.client.dialect === "mysql") await knex.raw("START TRANSACTION");
    await knex("blacklist_commits").insert({ revision: 0, stamp: randomBytes(8), committed_at: Date.now() });
    await knex("blacklist_state").insert({
      id: 1,
      revision: 0,
      generation: randomBytes(16),
      secret: randomBytes(32),
      leeway_ms: 0,
      oldest_code: 1,
    });
  },
};
