import { setTimeout as delay } from "node:timers/promises";
import type { EpochMs, Jti } from "../../../src/entry.ts";
import { parseDatabaseUrl } from "../../../src/store/database-url.ts";
import { openStore } from "../../../src/store/open-store.ts";
import { systemClock } from "../../../src/time/clock.ts";
import { until } from "../../support/until.ts";
import { now } from "../driver-clock.ts";
import type { Operation } from "../history.ts";
import { LEEWAY_MS } from "../leeway.ts";
import { longLife } from "../lifetimes.ts";
import { numberOf } from "../revisions.ts";
import type { Stage } from "../stage.ts";

/** Marks a commit on its way to the database. */
const COMMIT = "UPDATE blacklist_state SET revision";
/** After this time, the previous holder of the lock has its response. */
const SETTLED_MS = 150;
const SEEN_MS = 500;
const AGAIN_TIMEOUT_MS = 15_000;

/**
 * A crash that undoes commits which every replica has read, as on a slow disk: without a binary log, MariaDB shows a commit to others
 * before it is in the log. The replicas' own commits are held meanwhile, so that no acknowledged commit is undone.
 * Then the numbers are assigned again, while some replicas have not reconnected yet. (With a binary log there
 * is no such interval, and this is an ordinary kill of the database.)
 */
export async function undoneCommits(stage: Stage): Promise<void> {
  const { choices, cluster } = stage;
  await undo(stage, { seenByGateways: false });
  const late = choices.some(cluster.replicas, choices.whole(0, 2));
  for (const { proxy } of late) proxy.refuse();
  await cluster.server.restart();
  await stage.hold(choices.between(50, 800));
  await Promise.all(late.map(({ proxy }) => proxy.heal()));
  await stage.hold(choices.between(50, 300));
}

/**
 * The same, but every replica is killed together with the database: only the gateways have read the undone commits. They are cut off
 * until the numbers are assigned again, and then try to resume.
 */
export async function forgottenCommits(stage: Stage): Promise<void> {
  const { choices, cluster } = stage;
  const undone = await undo(stage, { seenByGateways: true });
  for (const { entrances } of cluster.gateways) for (const entrance of entrances) entrance.reset();
  await Promise.all(cluster.replicas.map((replica) => replica.kill()));
  await cluster.server.restart();
  await Promise.all(cluster.replicas.map((replica) => replica.launch()));
  await stage.hold(choices.between(0, 300));
  await until(() => stage.recorder.operations.some((call) => isPast(call, undone)), {
    withinMs: AGAIN_TIMEOUT_MS,
    what: "the numbers of undone commits are assigned again",
  });
  await Promise.all(cluster.gateways.map((gateway) => gateway.heal()));
  for (let round = 0; round < 3; round++) {
    await Promise.all(cluster.gateways.map((gateway) => stage.interrogateGateway(gateway)));
  }
}

function isPast(call: Operation, number: number): boolean {
  return call.kind === "blacklist" && call.answer !== undefined && numberOf(call.answer.revision) > number;
}

/** Makes commits visible, and kills the database so that they are undone. Resolves to the number of the last. */
async function undo(stage: Stage, { seenByGateways }: { seenByGateways: boolean }): Promise<number> {
  const { choices, cluster } = stage;
  for (const { proxy } of cluster.replicas) proxy.onClientData = (chunk) => !chunk.includes(COMMIT);
  if (!cluster.binaryLog) await deferFlushes(stage);
  const last = await commitUnseen(stage, choices.between(60, 200));
  if (seenByGateways) {
    const isSeen = async () => {
      const seen = await Promise.all(cluster.gateways.map((gateway) => gateway.peek(last.jti, 1)));
      return seen.some(({ verdicts }) => verdicts?.[0] === "blacklisted");
    };
    // Not much longer, since commits are flushed within a second.
    await until(isSeen, { withinMs: SEEN_MS, what: "a gateway has seen the last commit" }).catch(() => {});
  }
  await stage.killDatabase();
  for (const { proxy } of cluster.replicas) proxy.onClientData = undefined;
  return last.number;
}

/** Makes the server flush commits within a second, instead of before the response. */
async function deferFlushes({ cluster }: Stage): Promise<void> {
  await cluster.withDatabase(async (connection) => {
    await connection.query("BEGIN");
    await connection.query("SELECT * FROM blacklist_state WHERE id = 1 FOR UPDATE");
    await delay(SETTLED_MS);
    await connection.query("SET GLOBAL innodb_flush_log_at_trx_commit = 0");
    await connection.query("ROLLBACK");
  });
}

/**
 * Blacklists keys directly in the database, where all replicas read them, without recording the outcome. Resolves to the last key, which was
 * not there before, and to the number of its commit.
 */
async function commitUnseen(
  { choices, cluster, keyring, recorder, fillers }: Stage,
  forMs: number,
): Promise<{ readonly jti: string; readonly number: number }> {
  const store = openStore(parseDatabaseUrl(cluster.databaseUrl), { clock: systemClock, leewayMs: LEEWAY_MS });

  async function commit(jti: string): Promise<number | undefined> {
    const validUntil = longLife(choices);
    const from = now();
    const entry = {
      key: jti as Jti,
      expiresAt: (validUntil - LEEWAY_MS) as EpochMs,
      reason: "",
      revokedBy: "",
    };
    try {
      const written = await store.write([entry], { now: systemClock.now(), leewayMs: LEEWAY_MS });
      return written.revision.number;
    } catch {
      // An overloaded machine: the commit may or may not have happened, as for every client.
      return undefined;
    } finally {
      recorder.noteUnanswered([{ jti, validUntil }], { from, to: now() });
    }
  }

  const giveUpAt = performance.now() + forMs;
  const jti = `${keyring.key(0)}/unseen`;
  fillers.push(jti);
  try {
    while (performance.now() < giveUpAt) await commit(choices.pick([...keyring.hot, ...keyring.upcoming]));
    return { jti, number: (await commit(jti)) ?? 0 };
  } finally {
    await store.close();
  }
}
