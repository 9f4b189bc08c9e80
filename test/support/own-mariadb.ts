import type { Context } from "mocha";
import { canStartMariadb, type MariadbOptions, type PrivateMariadb, startMariadb } from "./mariadb.ts";

/**
 * A MariaDB that the spec may kill, pause and restart, and has to stop. Skips the test or suite, with a title that says why, if none is
 * installed (as with TEST_MYSQL_URL).
 */
export async function ownMariadb(context: Context, options: MariadbOptions = {}): Promise<PrivateMariadb> {
  if (!canStartMariadb() && process.env.TEST_MYSQL_URL) {
    const skipped = context.currentTest ?? context.test;
    if (skipped !== undefined) skipped.title += " (needs mariadbd, which is not installed)";
    context.skip();
  }
  return startMariadb(options);
}
