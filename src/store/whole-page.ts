import type { Knex } from "knex";
import { answerCut, theRow } from "./rows.ts";

interface Page {
  /** A column of `rows` that is never NULL. */
  readonly key: string;
  readonly order: readonly { readonly column: string; readonly order: "asc" | "desc" }[];
  readonly limit: number;
}

/**
 * The first `limit` of `rows` in this order. They are counted within the statement, and an answer with fewer of them throws
 * STORE_UNAVAILABLE: a page that is short is otherwise taken for the last.
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
  // Joined to the state's row, so that there is always one to say that there are none.
  const answer: (Row & { found: number })[] = await knex("blacklist_state as state")
    .leftJoin(page, knex.raw("1 = 1"))
    .where("state.id", 1)
    .select("page.*", knex.raw("COUNT(??) OVER () AS found", [`page.${key}`]))
    .orderBy(order.map(({ column, order: direction }) => ({ column: `page.${column}`, order: direction })));
  const found = Number(theRow(answer[0]).found);
  if (answer.length !== Math.max(1, found)) throw answerCut();
  return found === 0 ? [] : answer;
}
