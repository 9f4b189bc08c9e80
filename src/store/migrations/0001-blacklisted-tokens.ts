import type { Knex } from "knex";

/**
 * Identifiers are bytes, not text: a collation would make `abc` and `ABC` the same token, or pad `abc ` away. Times are whole
 * milliseconds since 1970, so that no session's time zone affects them.
 */
export function up(knex: Knex): Knex.SchemaBuilder {
  return knex.schema.createTable("blacklisted_tokens", (table) => {
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
  });
}
