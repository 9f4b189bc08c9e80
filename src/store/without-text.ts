/**
 * Runs a statement of Knex's. Knex puts a failed statement's text in front of the error's message, which is logged; the text holds
 * jtis, so it is taken away first.
 */
export async function withoutText<T>(query: { sql: string }, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    query.sql = "statement failed";
    throw error;
  }
}
