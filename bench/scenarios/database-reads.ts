import { setTimeout as delay } from "node:timers/promises";
import { check } from "../contestants/grpc.ts";
import { closedLoop } from "../load.ts";
import { target } from "../result.ts";
import type { BenchDatabase } from "../stage/database.ts";
import { percentile } from "../statistics.ts";
import type { Scenario } from "./scenario.ts";

const CALLERS = [1, 64, 512];
const IDLE_CHECKS = 10;
/** Time for a read in flight to end, and for the server to count it. */
const PAUSE_MS = 100;

/** The cost of `work` for the database. */
async function readsDuring(
  database: BenchDatabase,
  work: () => Promise<number>,
): Promise<{ reads: number; seconds: number; checks: number }> {
  await delay(PAUSE_MS);
  const before = await database.selects();
  const began = performance.now();
  const checks = await work();
  const seconds = (performance.now() - began) / 1000;
  return { reads: (await database.selects()) - before, seconds, checks };
}

/** Samples how many statements are in flight, until aborted. */
async function watchConcurrency(database: BenchDatabase, stop: AbortSignal): Promise<number[]> {
  const samples: number[] = [];
  while (!stop.aborted) {
    samples.push(await database.underWay());
    await delay(1);
  }
  return samples;
}

/** How often checks read from the database, when they share reads as far as possible. */
export function databaseReadsScenario(): Scenario {
  const name = "Reads of the database by checks";
  return {
    name,
    async run({ seconds }, { database, service }) {
      const one = check(1)("checks", service, []);
      const rows: { name: string; values: number[] }[] = [];
      let atOnce = 0;
      for (const callers of CALLERS) {
        await closedLoop(one, { callers, seconds: seconds / 2 });
        const stop = new AbortController();
        const watching = watchConcurrency(database, stop.signal);
        const seen = await readsDuring(database, async () => {
          const { calls } = await closedLoop(one, { callers, seconds: 2 * seconds });
          return calls;
        });
        stop.abort();
        atOnce = Math.max(atOnce, percentile(await watching, 0.99));
        rows.push({ name: `${callers} callers`, values: valuesOf(seen) });
      }
      // Without checks, only the heartbeat reads.
      const idle = await readsDuring(database, async () => {
        await delay(5000);
        return 0;
      });
      const apart = await readsDuring(database, async () => {
        for (let made = 0; made < IDLE_CHECKS; made++) {
          await one.call();
          await delay(1000);
        }
        return IDLE_CHECKS;
      });
      rows.push({ name: "a check a second", values: valuesOf(apart) });
      rows.push({ name: "no checks at all", values: [0, idle.reads / idle.seconds] });
      const besides = Math.max(0, apart.reads - Math.ceil(apart.seconds)) / (IDLE_CHECKS / 2);
      const targets = [
        target(`${name}: under way at once, whatever the load (p99 of samples)`, atOnce, { atMost: 1 }),
        target(`${name}: for every two checks, made a second apart, without the heartbeats`, besides, {
          atMost: 2,
        }),
        target(`${name}: heartbeats, in ${Math.round(idle.seconds)} s without checks`, idle.reads, {
          atMost: Math.ceil(idle.seconds) + 1,
        }),
      ];
      const headings = ["checks a second", "reads a second", "reads per 1,000 checks"];
      return { name, unit: "Com_select of the server", figures: { headings, rows }, targets, skipped: [] };
    },
  };
}

function valuesOf({ reads, seconds, checks }: { reads: number; seconds: number; checks: number }): number[] {
  return [Math.round(checks / seconds), reads / seconds, (1000 * reads) / checks];
}
