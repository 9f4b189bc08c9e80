import { randomBytes } from "node:crypto";
import { createConnection, type RowDataPacket } from "mysql2/promise";
import { LIVE_JTI_SQL } from "../tokens.ts";
import { OUR_TABLE } from "./database.ts";

/** Rows per commit: large enough that a million take seconds, and small enough for the server's memory. */
const COMMIT_ROWS = 10_000;
const DAY_MS = 86_400_000;

/**
 * Inserts unexpired entries into the service's table, with the jtis that `liveJti` makes of `from` up to but excluding `to`. Not
 * through the service, which would take minutes; but in commits like the service's, so that every replica can follow them.
 */
export async function fillTable(
  databaseUrl: string,
  { from: first = 0, to: end }: { from?: number; to: number },
): Promise<void> {
  const connection = await createConnection({ uri: databaseUrl });
  try {
    for (let from = first; from < end; from += COMMIT_ROWS) {
      const to = Math.min(from + COMMIT_ROWS, end) - 1;
      const now = Date.now();
      await connection.beginTransaction();
      await connection.query("UPDATE blacklist_state SET revision = revision + 1 WHERE id = 1");
      const [rows] = await connection.query<RowDataPacket[]>(
        "SELECT revision FROM blacklist_state WHERE id = 1",
      );
      const revision = Number(rows[0]?.revision);
      await connection.query(
        "INSERT INTO blacklist_commits (revision, stamp, committed_at) VALUES (?, ?, ?)",
        [revision, randomBytes(8), now],
      );
      await connection.query(
        `INSERT INTO ${OUR_TABLE} (jti, expires_at, created_at, reason, revoked_by, revision, created_revision)
         SELECT ${LIVE_JTI_SQL}, ${now + DAY_MS} + seq, ${now}, 'logout', '', ${revision}, ${revision} FROM seq_${from}_to_${to}`,
      );
      await connection.commit();
    }
  } finally {
    connection.destroy();
  }
}
