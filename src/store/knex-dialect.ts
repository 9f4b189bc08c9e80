import knex, { type Knex } from "knex";

/** Knex's class for a dialect, to be extended: Knex exports only the class that all dialects extend. */
export function dialectOf(client: "mysql2" | "better-sqlite3"): typeof Knex.Client {
  return knex({ client, useNullAsDefault: true }).client.constructor;
}

/** Opens Knex. It logs nothing, and no error contains the text of its statement, which may contain jtis. */
export function openKnex(config: Knex.Config): Knex {
  const opened = knex({
    ...config,
    useNullAsDefault: true,
    // Otherwise Knex would write the values of a failed statement into the error's message.
    compileSqlOnError: false,
    log: { warn() {}, error() {}, deprecate() {}, debug() {} },
  });
  // Knex prepends the text of a failed statement to the error's message.
  opened.on("query-error", (error: Error, { sql }: { sql: string }) => {
    error.message = `statement failed${error.message.slice(sql.length)}`;
  });
  return opened;
}
