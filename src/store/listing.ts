import type { Knex } from "knex";
import type { EpochMs } from "../entry.ts";
import { ENTRY_COLUMNS, type EntryRow, entryOf, onlyRow, selectPage } from "./rows.ts";
import type { CountQuery, ListPage, ListQuery } from "./store.ts";

const newestFirst = { column: "created_at", order: "desc" } as const;
const lastKeyFirst = { column: "jti", order: "desc" } as const;

/** One page of `query`, for which expiry is judged at `asOf`. */
export async function listPage(knex: Knex, query: ListQuery, asOf: EpochMs): Promise<ListPage> {
  const { after, filter, limit } = query;
  const rows: EntryRow[] = [];
  if (after === undefined || after.createdAt !== null) {
    const dated = matching(knex, query, asOf).whereNotNull("created_at");
    if (after !== undefined) {
      // MySQL's optimizer does not use an index range for `(a, b) < (x, y)`, but does for this form.
      dated
        .where("created_at", "<=", after.createdAt)
        .where((either) =>
          either.where("created_at", "<", after.createdAt).orWhere("jti", "<", Buffer.from(after.key)),
        );
    }
    const order = [newestFirst, lastKeyFirst];
    rows.push(...(await selectPage<EntryRow>(knex, dated, { key: "jti", order, limit: limit + 1 })));
  }
  const needsUndated = filter.createdAfter === undefined && filter.createdBefore === undefined;
  if (rows.length <= limit && needsUndated) {
    const undated = matching(knex, query, asOf).whereNull("created_at");
    if (after?.createdAt === null) undated.where("jti", "<", Buffer.from(after.key));
    const page = { key: "jti", order: [lastKeyFirst], limit: limit + 1 - rows.length };
    rows.push(...(await selectPage<EntryRow>(knex, undated, page)));
  }
  return { entries: rows.slice(0, limit).map(entryOf), hasMore: rows.length > limit, asOf };
}

export async function countBy(knex: Knex, { revokedBy, limit }: CountQuery, cutoff: number): Promise<number> {
  const found = knex("blacklisted_tokens")
    .select("jti")
    .where("revoked_by", Buffer.from(revokedBy))
    .where("expires_at", ">", cutoff)
    .limit(limit)
    .as("found");
  const row = await knex(found).count({ total: "*" }).first();
  return Number(onlyRow(row).total);
}

function matching(
  knex: Knex,
  { filter, leewayMs }: ListQuery,
  asOf: EpochMs,
): Knex.QueryBuilder<EntryRow, EntryRow[]> {
  const rows = knex<EntryRow>("blacklisted_tokens").select(...ENTRY_COLUMNS);
  if (!filter.includeExpired) rows.where("expires_at", ">", asOf - leewayMs);
  if (filter.createdAfter !== undefined) rows.where("created_at", ">=", filter.createdAfter);
  if (filter.createdBefore !== undefined) rows.where("created_at", "<", filter.createdBefore);
  if (filter.revokedBy !== undefined) rows.where("revoked_by", Buffer.from(filter.revokedBy));
  if (filter.keys !== undefined)
    rows.whereIn(
      "jti",
      filter.keys.map((key) => Buffer.from(key)),
    );
  return rows as unknown as Knex.QueryBuilder<EntryRow, EntryRow[]>;
}
