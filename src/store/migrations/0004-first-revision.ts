import { randomBytes } from "node:crypto";
import type { Knex } from "knex";

/** Revision 0, with a commit like every other revision. Both rows or none: INSERTs, unlike DDL, are transactional on MySQL. */
export async function up(knex: Knex): Promise<void> {
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
}
