import type { Context } from "mocha";
import { canStartMariadb, type MariadbOptions, type PrivateMariadb, startMariadb } from "./mariadb.ts";

/**
 * A MariaDB that the spec may kill, pause and restart, and has to stop. Where none is installed (the suite runs
 * against TEST_MYSQL_URL) the test or suite is skipped, and its title says why.
 */
export async function ownMariadb(context: Context, options: MariadbOptions = {}): Promise<PrivateMariadb> {
  if (!canStartMariadb() && process.env.TEST_MYSQL_URL) {
    const skipped = context.currentTest ?? context.test;
    if (skipped !== undefined) skipped.title += " (needs mariadbd, which is not installed)";
    context.skip();
  }
  return startMariadb(options);
}
