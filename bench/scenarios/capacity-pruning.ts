import { setTimeout as delay } from "node:timers/promises";
import { alternate } from "../alternate.ts";
import { check } from "../contestants/grpc.ts";
import { curveOf } from "../curve.ts";
import { openLoop } from "../load.ts";
import { OUR_TABLE } from "../stage/database.ts";
import { median, percentile } from "../statistics.ts";
import { throughService } from "./pruning.ts";
import type { CapacityScenario } from "./scenario.ts";

/** Calls per second during which Prune runs. */
const RATES = [0, 250, 1000, 2000];
const JTIS_A_CALL = 20;
const EXPIRED = 100_000;
/** Filling the table takes longer than pruning it. */
const MAX_ROUNDS = 3;
/** How long the same calls are made without Prune. */
const ALONE_MS = 2000;

interface Run {
  readonly rowsPerSecond: number;
  readonly p99Pruning: number;
  readonly p99Alone: number;
}

/** The speed of Prune beside checks, for which it pauses, and its effect on their latency. */
export function pruneCapacityScenario(): CapacityScenario {
  const name = `Capacity: Prune of ${EXPIRED.toLocaleString("en")} rows beside checks of ${JTIS_A_CALL} jtis`;
  const plan = {
    over: "calls a second",
    at: RATES,
    lines: [
      { name: "rows pruned", unit: "1/s" },
      { name: "p99 of checks while pruning", unit: "ms" },
      { name: "p99 of checks alone", unit: "ms" },
    ],
  };
  return {
    name,
    plan,
    async run({ rounds }, stage) {
      const { database, service } = stage;
      const contestant = check(JTIS_A_CALL)("checks", service, [service.pid]);
      const prune = throughService(stage);

      async function p99During(rate: number, work: () => Promise<unknown>): Promise<number> {
        const done = new AbortController();
        const load = openLoop(contestant, { rate, stop: done.signal });
        await work().finally(() => done.abort());
        return percentile((await load).latencies, 0.99);
      }

      const runs = await alternate(
        RATES,
        { rounds: Math.min(rounds, MAX_ROUNDS), warmUp: 0 },
        async (rate): Promise<Run> => {
          await database.addExpired(EXPIRED, [OUR_TABLE]);
          const p99Alone = rate === 0 ? Number.NaN : await p99During(rate, () => delay(ALONE_MS));
          let seconds = Number.NaN;
          const p99Pruning = await p99During(rate, async () => {
            const began = performance.now();
            const count = await prune();
            if (count !== EXPIRED) throw new Error(`${count} rows were pruned, not ${EXPIRED}`);
            seconds = (performance.now() - began) / 1000;
          });
          await database.settle();
          return { rowsPerSecond: EXPIRED / seconds, p99Pruning, p99Alone };
        },
      );
      const curve = curveOf(
        plan,
        runs.map((own) => [
          median(own.map(({ rowsPerSecond }) => rowsPerSecond)),
          median(own.map(({ p99Pruning }) => p99Pruning)),
          median(own.map(({ p99Alone }) => p99Alone)),
        ]),
      );
      return { name, unit: "one service, a million live entries", curve, targets: [], skipped: [] };
    },
  };
}
