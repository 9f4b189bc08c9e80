import { setTimeout as delay } from "node:timers/promises";
import type { RowDataPacket } from "mysql2/promise";
import { now } from "../driver-clock.ts";
import type { Stage } from "../stage.ts";

/** The database ends sessions of the replicas at any time. */
export async function killConnection(stage: Stage): Promise<void> {
  const { choices, cluster } = stage;
  await cluster.withDatabase(async (connection) => {
    for (let round = choices.whole(6, 14); round > 0; round--) {
      const [sessions] = await connection.query<RowDataPacket[]>(
        "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()",
      );
      for (const { id } of sessions) {
        // It may have ended already.
        if (choices.chance(0.5)) await connection.query(`KILL ${id}`).catch(() => {});
      }
      await delay(choices.between(10, 80));
    }
  });
  await stage.hold(0);
}

/** Another session holds the lock that every commit needs, usually for longer than the lock timeout. */
export async function lockTimeout(stage: Stage): Promise<void> {
  const { choices, cluster } = stage;
  await cluster.withDatabase(async (connection) => {
    await connection.query("BEGIN");
    await connection.query("SELECT * FROM blacklist_state WHERE id = 1 FOR UPDATE");
    await stage.hold(choices.pick([500, 1100, 1500, 2500, 3500]) * choices.between(0.9, 1.1));
    await connection.query("ROLLBACK");
  });
}

/** Makes the database read-only, as a demoted primary is, and writable again. */
export async function readOnly(stage: Stage): Promise<void> {
  const { choices, cluster } = stage;
  await cluster.withDatabase(async (connection) => {
    try {
      for (let round = choices.whole(1, 3); round > 0; round--) {
        await connection.query("SET GLOBAL read_only = 1");
        const from = now();
        await delay(choices.between(150, 500));
        if (round === 1) await stage.hold(0);
        stage.readOnly.push({ from, to: now() });
        await connection.query("SET GLOBAL read_only = 0");
        await delay(choices.between(20, 200));
      }
    } finally {
      await connection.query("SET GLOBAL read_only = 0");
    }
  });
}
