import { check } from "../contestants/grpc.ts";
import { curveOf } from "../curve.ts";
import { closedLoop } from "../load.ts";
import { residentBytes } from "../resident-memory.ts";
import { BenchDatabase } from "../stage/database.ts";
import { fillTable } from "../stage/fill.ts";
import type { Ground } from "../stage/ground.ts";
import { migrate, startService } from "../stage/service.ts";
import { median, percentile } from "../statistics.ts";
import { type ColdStart, coldStart } from "./cold-start.ts";
import type { CapacityScenario } from "./scenario.ts";

const ENTRIES = [1000, 10_000, 100_000, 1_000_000];
const LARGE_ENTRIES = 10_000_000;
const STARTS = 3;
/** Load before the memory of a working service is read: V8 allocates its young generation meanwhile. */
const CALLERS = 64;
const LOAD_SECONDS = 3;

const MB = 1e6;

const LINES = [
  { name: "resident memory, loaded", unit: "MB" },
  { name: "resident memory, after load", unit: "MB" },
  { name: "resident memory, by growth from the first", unit: "bytes an entry" },
  { name: "table and indexes", unit: "MB" },
  { name: "table and indexes each", unit: "bytes an entry" },
  { name: "from start to open port", unit: "ms" },
  { name: "from open port to right answers", unit: "ms" },
  { name: "from open port to loaded index", unit: "ms" },
  { name: "event loop's delay while loading, p99", unit: "ms" },
  { name: `calls of ${CALLERS} callers, 1 jti each`, unit: "1/s" },
  { name: "p99 of these", unit: "ms" },
];

interface Point {
  readonly entries: number;
  readonly starts: readonly ColdStart[];
  readonly tableBytes: number;
  readonly loadedBytes: number;
  readonly callsPerSecond: number;
  readonly p99: number;
}

async function pointAt(ground: Ground, database: BenchDatabase, entries: number): Promise<Point> {
  const databaseUrl = database.url;
  const starts: ColdStart[] = [];
  for (let start = 1; start <= STARTS; start++) {
    starts.push(await coldStart(ground, { name: `entries-${entries}-${start}`, databaseUrl, entries }));
  }
  const service = ground.closing(
    await startService(ground.guard, { name: `entries-${entries}-loaded`, databaseUrl }),
  );
  await service.indexLoaded();
  const contestant = check(1)("TokenBlacklist", service, [service.pid]);
  const { calls, seconds, latencies } = await closedLoop(contestant, {
    callers: CALLERS,
    seconds: LOAD_SECONDS,
  });
  const loadedBytes = residentBytes(service.pid);
  await service.close();
  return {
    entries,
    starts,
    tableBytes: await database.tableBytes(),
    loadedBytes,
    callsPerSecond: calls / seconds,
    p99: percentile(latencies, 0.99),
  };
}

/** Memory and start time of a service by the number of entries. Uses a server of its own, which it fills and ends. */
export function entryCapacityScenario({ large }: { large: boolean }): CapacityScenario<Ground> {
  const name = "Capacity: memory and cold start";
  const plan = { over: "live entries", at: large ? [...ENTRIES, LARGE_ENTRIES] : ENTRIES, lines: LINES };
  return {
    name,
    plan,
    async run(_options, ground) {
      const database = ground.closing(await BenchDatabase.start({ bufferPoolGiB: large ? 8 : 2 }));
      await migrate(database.url);
      const points: Point[] = [];
      for (const entries of plan.at) {
        await fillTable(database.url, { from: points.at(-1)?.entries ?? 0, to: entries });
        await database.settle();
        points.push(await pointAt(ground, database, entries));
      }
      await database.close();
      return { name, unit: "one service", curve: curveOf(plan, figures(points)), targets: [], skipped: [] };
    },
  };
}

function figures(points: readonly Point[]): number[][] {
  const memory = ({ starts }: Point) => median(starts.map(({ bytes }) => bytes));
  const [first] = points as [Point];
  return points.map((point) => {
    const { entries, starts, tableBytes, loadedBytes, callsPerSecond, p99 } = point;
    const ofStarts = (figure: (start: ColdStart) => number) => median(starts.map(figure));
    // The first measurement has hardly any entries, and is the base.
    const grown = entries - first.entries;
    return [
      memory(point) / MB,
      loadedBytes / MB,
      grown === 0 ? Number.NaN : (memory(point) - memory(first)) / grown,
      tableBytes / MB,
      tableBytes / entries,
      ofStarts(({ port }) => port),
      ofStarts(({ onlyRight }) => onlyRight),
      ofStarts(({ loaded }) => loaded),
      ofStarts(({ delayP99 }) => delayP99),
      callsPerSecond,
      p99,
    ];
  });
}
