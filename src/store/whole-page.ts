import type { Knex } from "knex";
import { onlyRow, truncatedResult } from "./rows.ts";

interface Page {
  /** A column of `rows` that is never NULL. */
  readonly key: string;
  readonly order: readonly { readonly column: string; readonly order: "asc" | "desc" }[];
  readonly limit: number;
}

/**
 * The first `limit` of `rows` in this order. The statement counts them, and an answer with fewer rows than the count throws
 * STORE_UNAVAILABLE: otherwise a truncated page would be taken for the last.
 */
export async function wholePage<Row>(
  knex: Knex,
  rows: Knex.QueryBuilder,
  { key, order, limit }: Page,
): Promise<Row[]> {
  const page = rows
    .orderBy([...order])
    .limit(limit)
    .as("page");
  // Joined to the state row, so that an empty page still has a row to prove it.
  const answer: (Row & { found: number })[] = await knex("blacklist_state as state")
    .leftJoin(page, knex.raw("1 = 1"))
    .where("state.id", 1)
    .select("page.*", knex.raw("COUNT(??) OVER () AS found", [`page.${key}`]))
    .orderBy(order.map(({ column, order: direction }) => ({ column: `page.${column}`, order: direction })));
  const found = Number(onlyRow(answer[0]).found);
  if (answer.length !== Math.max(1, found)) throw truncatedResult();
  return found === 0 ? [] : answer;
}
