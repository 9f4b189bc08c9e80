/**
 * Runs a statement of Knex. Knex prepends the text of a failed statement to the error's message, which is logged; the text contains
 * jtis, so it is replaced first.
 */
export async function redactSql<T>(query: { sql: string }, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    query.sql = "statement failed";
    throw error;
  }
}
