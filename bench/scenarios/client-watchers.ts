import { setTimeout as delay } from "node:timers/promises";
import { alternate } from "../alternate.ts";
import type { Contestant } from "../contestant.ts";
import { check, revoke } from "../contestants/grpc.ts";
import { cpuSeconds } from "../cpu-time.ts";
import { startGateway } from "../gateway/gateway.ts";
import type { WatchersInput } from "../gateway/watchers.ts";
import { closedLoop, openLoop, type Slice } from "../load.ts";
import { residentBytes } from "../resident-memory.ts";
import { type ServiceProcess, startService } from "../stage/service.ts";
import { median, quantiles } from "../statistics.ts";
import type { Scenario } from "./scenario.ts";

const WATCHERS = 500;
const PUSHES = 500;
/** How long the service's CPU time is measured while nothing happens. */
const IDLE_MS = 5000;
/** Revocations per second beside the checks. */
const RATE = 20;
const WARM_UP_SECONDS = 2;
const CALLERS = 64;
const JTIS = 20;

/** The cost for one replica of feeding many copies, and when the last copy is up to date. */
export function clientWatcherScenario(): Scenario {
  const name = `Client: ${WATCHERS} gateways that watch one replica`;
  return {
    name,
    async run({ rounds, seconds, profileFolder }, { ground, database }) {
      const service = ground.closing(
        await startService(ground.guard, { name: "watched", databaseUrl: database.url, profileFolder }),
      );
      await service.indexLoaded();
      const given: WatchersInput = { port: service.port, count: WATCHERS };
      const start = { program: "watchers.ts", name: "gateway-watchers", given, profileFolder };
      const watchers = await startGateway(ground, start);
      const settings = ["no watchers", `${WATCHERS} watch`];
      const beside: Beside = {
        checks: check(JTIS)("checks", service, []),
        revocations: revoke(1)("revocations", service, []),
      };
      // Lets V8 compile, and memory grow, before the measurement.
      await checksBeside(beside, WARM_UP_SECONDS);
      const alone = await costOf(service);
      await watchers.ask("open");
      const watched = await costOf(service);
      const times = await watchers.ask<number[]>("push", { times: PUSHES });
      const slices = await alternate([false, true], { rounds, warmUp: 1 }, async (areWatching) => {
        await watchers.ask(areWatching ? "open" : "close");
        return checksBeside(beside, seconds);
      });
      await watchers.close();
      await service.close();
      const [p50, p99, worst] = quantiles(times) as [number, number, number];
      const [without, watchedToo] = slices.map((own) => own.map(({ calls, seconds }) => calls / seconds)) as [
        number[],
        number[],
      ];
      return {
        name,
        unit: "the replica's own CPU and RSS",
        figures: {
          headings: settings,
          rows: [
            { name: "CPU while nothing happens, ms a second", values: [alone.cpuMs, watched.cpuMs] },
            {
              name: "the same, µs a second and watcher",
              values: [Number.NaN, perWatcher(alone, watched, "cpuMs") * 1000],
            },
            { name: "RSS, MB", values: [alone.bytes / 1e6, watched.bytes / 1e6] },
            {
              name: "the same, kB a watcher",
              values: [Number.NaN, perWatcher(alone, watched, "bytes") / 1000],
            },
            { name: "acknowledged to sent to the last, p50, ms", values: [Number.NaN, p50] },
            { name: "the same, p99", values: [Number.NaN, p99] },
            { name: "the same, worst", values: [Number.NaN, worst] },
            {
              name: `IsBlacklisted, ${JTIS} jtis, ${CALLERS} callers, beside ${RATE} revocations a second`,
              values: [median(without), median(watchedToo)],
            },
          ],
        },
        targets: [],
        skipped: [],
      };
    },
  };
}

interface Beside {
  readonly checks: Contestant;
  readonly revocations: Contestant;
}

interface Cost {
  /** Per second. */
  readonly cpuMs: number;
  readonly bytes: number;
}

async function costOf({ pid }: ServiceProcess): Promise<Cost> {
  const before = cpuSeconds([pid]);
  await delay(IDLE_MS);
  return { cpuMs: ((cpuSeconds([pid]) - before) / IDLE_MS) * 1e6, bytes: residentBytes(pid) };
}

function perWatcher(alone: Cost, watched: Cost, figure: keyof Cost): number {
  return (watched[figure] - alone[figure]) / WATCHERS;
}

async function checksBeside({ checks, revocations }: Beside, seconds: number): Promise<Slice> {
  const stop = new AbortController();
  const revoking = openLoop(revocations, { rate: RATE, stop: stop.signal });
  const slice = await closedLoop(checks, { callers: CALLERS, seconds });
  stop.abort();
  await revoking;
  return slice;
}
