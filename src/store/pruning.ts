import type { Knex } from "knex";
import { COMMIT_RETENTION_MS } from "../limits.ts";
import { literal } from "./engine.ts";
import { type EntryRow, onlyRow, selectPage } from "./rows.ts";
import type { PruneResult, PruneTask } from "./store.ts";

/** Rows of one DELETE. Larger chunks prune a fifth faster, but delay concurrent checks longer. */
const PRUNE_CHUNK = 150;

/**
 * Deletes up to `limit` entries with `expires_at <= cutoff`, one transaction per chunk. The keys are selected without a lock and
 * deleted by primary key, so that concurrent prunes neither queue behind one another nor deadlock with a writer. The DELETE checks
 * the expiry again, because an entry may have been blacklisted again in between.
 */
export async function deleteExpired(
  knex: Knex,
  cutoff: number,
  { limit, mayContinueAfterPause }: Pick<PruneTask, "limit" | "mayContinueAfterPause">,
): Promise<PruneResult> {
  let count = 0;
  // Each chunk starts where the last one ended: otherwise rows deleted but not yet purged would be scanned again for every chunk.
  let from = Number.MIN_SAFE_INTEGER;
  for (;;) {
    // Selects one row more than it may delete, to learn whether any remain.
    const chunk = Math.min(PRUNE_CHUNK, limit - count);
    const expired = knex("blacklisted_tokens")
      .select("jti", "expires_at")
      .whereBetween("expires_at", [from, cutoff]);
    const rows = await selectPage<Pick<EntryRow, "jti" | "expires_at">>(knex, expired, {
      key: "jti",
      order: [{ column: "expires_at", order: "asc" }],
      limit: chunk + 1,
    });
    const keys = rows.slice(0, chunk).map(({ jti }) => literal(jti as Uint8Array));
    if (keys.length === 0) return { count, hasMore: rows.length > 0 };
    // Literals, because one parameter per key would cost more time in Knex and the driver than the DELETE costs in the database.
    count += await knex("blacklisted_tokens")
      .whereRaw(`jti IN (${keys.join()})`)
      .where("expires_at", "<=", cutoff)
      .delete();
    if (rows.length <= chunk) return { count, hasMore: false };
    if (mayContinueAfterPause !== undefined && !(await mayContinueAfterPause())) {
      return { count, hasMore: true };
    }
    from = Number(rows[chunk - 1]?.expires_at);
  }
}

export async function countExpired(knex: Knex, cutoff: number, limit: number): Promise<PruneResult> {
  const found = knex("blacklisted_tokens")
    .select("jti")
    .where("expires_at", "<=", cutoff)
    .limit(limit + 1)
    .as("found");
  const row = await knex(found).count({ total: "*" }).first();
  const total = Number(onlyRow(row).total);
  return { count: Math.min(total, limit), hasMore: total > limit };
}

/** The number of chunks that one call trims at most, and the commits in each. The next call continues. */
const TRIM_CHUNKS = 100;
const TRIM_CHUNK = 5000;

/** Deletes the stamps of commits older than a day. The last commit keeps its stamp, however old it is. */
export async function trimCommits(knex: Knex, now: number): Promise<void> {
  const { revision: last } = onlyRow(await knex("blacklist_state").where({ id: 1 }).first("revision"));
  for (let chunk = 0; chunk < TRIM_CHUNKS; chunk++) {
    const rows: { revision: number; committed_at: number }[] = await knex("blacklist_commits")
      .select("revision", "committed_at")
      .where("revision", "<", last)
      .orderBy("revision")
      .limit(TRIM_CHUNK);
    const old = rows.filter(({ committed_at }) => committed_at < now - COMMIT_RETENTION_MS);
    const [first, newest] = [old[0], old.at(-1)];
    if (first === undefined || newest === undefined) return;
    await knex("blacklist_commits").whereBetween("revision", [first.revision, newest.revision]).delete();
    if (old.length < TRIM_CHUNK) return;
  }
}
