import { setTimeout as delay } from "node:timers/promises";
import type { ResultSetHeader } from "mysql2/promise";
import { TokenBlacklist } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { alternate } from "../alternate.ts";
import { check } from "../contestants/grpc.ts";
import { cpuSeconds } from "../cpu-time.ts";
import { openLoop, type Slice } from "../load.ts";
import { medianRatio, target } from "../result.ts";
import { OUR_TABLE, PEER_TABLE } from "../stage/database.ts";
import type { Stage } from "../stage/stage.ts";
import { median, percentile } from "../statistics.ts";
import type { Scenario } from "./scenario.ts";

const EXPIRED = 200_000;
/** The maximum that one Prune deletes. */
const MAX_COUNT = 100_000;
const CHUNK = 1000;
/** Filling the tables takes longer than pruning them, so only as many rounds as a median needs. */
function schedule(rounds: number): { rounds: number; warmUp: number } {
  return { rounds: Math.min(rounds, 5), warmUp: 1 };
}

const CHECKS_A_SECOND = 1000;
const JTIS_A_CHECK = 20;

/** Prunes until nothing is left, and returns the number of deleted rows. */
type Prune = () => Promise<number>;

export function throughService({ service }: Pick<Stage, "service">): Prune {
  const prune = service.client.method(TokenBlacklist.method.prune, { timeoutSeconds: 120 });
  return async () => {
    for (let total = 0; ; ) {
      const { prunedCount, hasMore } = await prune({ maxCount: MAX_COUNT });
      total += prunedCount;
      if (!hasMore) return total;
    }
  };
}

function bareLoop({ database }: Stage): Prune {
  const pool = database.pool(1);
  return async () => {
    const cutoff = Date.now();
    for (let total = 0; ; ) {
      const [{ affectedRows }] = await pool.execute<ResultSetHeader>(
        `DELETE FROM ${PEER_TABLE} WHERE expires_at <= ? LIMIT ${CHUNK}`,
        [cutoff],
      );
      total += affectedRows;
      if (affectedRows < CHUNK) return total;
    }
  };
}

async function timed(
  prune: Prune,
  pids: readonly number[],
): Promise<{ seconds: number; cpuSeconds: number }> {
  const cpuBefore = cpuSeconds(pids);
  const began = performance.now();
  const count = await prune();
  if (count !== EXPIRED) throw new Error(`${count} rows were pruned, not ${EXPIRED}`);
  return { seconds: (performance.now() - began) / 1000, cpuSeconds: cpuSeconds(pids) - cpuBefore };
}

function aloneScenario(): Scenario {
  const name = "Prune of 200,000 rows";
  return {
    name,
    async run({ rounds }, stage) {
      const { database, service } = stage;
      await database.copyTable();
      const contestants = [
        {
          name: "TokenBlacklist",
          table: OUR_TABLE,
          prune: throughService(stage),
          pids: [service.pid, database.pid],
        },
        { name: "bare DELETE ... LIMIT", table: PEER_TABLE, prune: bareLoop(stage), pids: [database.pid] },
      ];
      const runs = await alternate(contestants, schedule(rounds), async ({ table, prune, pids }) => {
        await database.addExpired(EXPIRED, [table]);
        const run = await timed(prune, pids);
        await database.settle();
        return run;
      });
      const seconds = runs.map((own) => own.map((run) => run.seconds));
      const ratio = medianRatio(seconds[0] as number[], seconds[1] as number[]);
      const rows = contestants.map((contestant, index) => ({
        name: contestant.name,
        perSecond: EXPIRED / median(seconds[index] as number[]),
        cpuMicros: (median((runs[index] ?? []).map((run) => run.cpuSeconds)) / EXPIRED) * 1e6,
        ...(index === 0 ? {} : { ratio: 1 / ratio }),
      }));
      return {
        name,
        unit: "rows",
        rows,
        targets: [target(`${name}, time to that of the bare loop`, ratio, { atMost: 1.5 })],
        skipped: [],
      };
    },
  };
}

/** The effect of a Prune on checks at a fixed rate. */
function besideChecksScenario(): Scenario {
  const name = `IsBlacklisted, ${JTIS_A_CHECK} jtis a call, ${CHECKS_A_SECOND} calls a second, while Prune removes 200,000 rows`;
  return {
    name,
    async run({ rounds, seconds }, stage) {
      const { database, service } = stage;
      const contestant = check(JTIS_A_CHECK)("checks", service, [service.pid, database.pid]);
      const prune = throughService(stage);
      async function during(work: () => Promise<unknown>): Promise<Slice> {
        const done = new AbortController();
        const load = openLoop(contestant, { rate: CHECKS_A_SECOND, stop: done.signal });
        await work().finally(() => done.abort());
        return load;
      }
      const contestants = [
        { name: "while pruning", slice: () => during(prune) },
        { name: "without", slice: () => during(() => delay(Math.max(3, seconds) * 1000)) },
      ];
      const runs = await alternate(contestants, schedule(rounds), async ({ slice }) => {
        // The table is filled again only once the last entries have been pruned.
        if ((await database.countExpired()) === 0) await database.addExpired(EXPIRED, [OUR_TABLE]);
        const run = await slice();
        await database.settle();
        return run;
      });
      await prune();
      const p99 = runs.map((own) => own.map(({ latencies }) => percentile(latencies, 0.99)));
      const ratio = medianRatio(p99[0] as number[], p99[1] as number[]);
      const rows = contestants.map((own, index) => {
        const slices = runs[index] as Slice[];
        return {
          name: own.name,
          perSecond: median(slices.map(({ calls, seconds: took }) => calls / took)),
          p50Ms: median(slices.map(({ latencies }) => percentile(latencies, 0.5))),
          p99Ms: median(p99[index] as number[]),
        };
      });
      const what = "IsBlacklisted p99 while pruning, to without";
      return { name, unit: "calls", rows, targets: [target(what, ratio, { atMost: 2 })], skipped: [] };
    },
  };
}

export function pruneScenarios(): Scenario[] {
  return [aloneScenario(), besideChecksScenario()];
}
