import { setTimeout as delay } from "node:timers/promises";
import { systemClock } from "../../../src/clock.ts";
import type { EpochMs, Jti } from "../../../src/entry.ts";
import { parseDatabaseUrl } from "../../../src/store/database-url.ts";
import { openStore } from "../../../src/store/open-store.ts";
import { now } from "../driver-clock.ts";
import { LEEWAY_MS } from "../leeway.ts";
import { longLife } from "../lifetimes.ts";
import type { Stage } from "../stage.ts";

/** How a commit on its way to the database begins to be recognised. */
const COMMIT = "UPDATE blacklist_state SET revision";
/** After this long whoever had the lock before has been answered. */
const SETTLED_MS = 150;

/**
 * A crash that undoes commits which every replica has seen, as a slow disk makes it: MariaDB without a binary log shows a commit to others
 * before it is in the log. The replicas' own commits are kept away meanwhile, so that nothing is undone that anybody was told
 * of. Then the numbers are given out again, while some replicas have not found the way back yet. (With a binary log there
 * is no such moment, and this is a kill of the database like another.)
 */
export async function undoneCommits(stage: Stage): Promise<void> {
  const { choices, cluster } = stage;
  for (const { proxy } of cluster.replicas) proxy.onClientData = (chunk) => !chunk.includes(COMMIT);
  if (!cluster.binaryLog) await deferFlushes(stage);
  await commitUnseen(stage, choices.between(60, 200));
  await stage.killDatabase();
  const late = choices.some(cluster.replicas, choices.whole(0, 2));
  for (const { proxy } of cluster.replicas) proxy.onClientData = undefined;
  for (const { proxy } of late) proxy.refuse();
  await cluster.server.restart();
  await stage.hold(choices.between(50, 800));
  await Promise.all(late.map(({ proxy }) => proxy.heal()));
  await stage.hold(choices.between(50, 300));
}

/** From now on a commit is flushed within a second, not before it is answered. */
async function deferFlushes({ cluster }: Stage): Promise<void> {
  await cluster.withDatabase(async (connection) => {
    await connection.query("BEGIN");
    await connection.query("SELECT * FROM blacklist_state WHERE id = 1 FOR UPDATE");
    await delay(SETTLED_MS);
    await connection.query("SET GLOBAL innodb_flush_log_at_trx_commit = 0");
    await connection.query("ROLLBACK");
  });
}

/** Blacklists keys past all replicas, which see it happen, and tells nobody the outcome. */
async function commitUnseen({ choices, cluster, keyring, recorder }: Stage, forMs: number): Promise<void> {
  const store = openStore(parseDatabaseUrl(cluster.databaseUrl), { clock: systemClock, leewayMs: LEEWAY_MS });
  const giveUpAt = performance.now() + forMs;
  try {
    while (performance.now() < giveUpAt) {
      const jti = choices.pick([...keyring.hot, ...keyring.upcoming]);
      const validUntil = longLife(choices);
      const from = now();
      const entry = {
        jti: jti as Jti,
        expiresAt: (validUntil - LEEWAY_MS) as EpochMs,
        reason: "",
        revokedBy: "",
      };
      await store.write([entry], { now: systemClock.now(), leewayMs: LEEWAY_MS });
      recorder.noteUnanswered([{ jti, validUntil }], { from, to: now() });
    }
  } finally {
    await store.close();
  }
}
