import { setTimeout as delay } from "node:timers/promises";
import { TokenBlacklist, Verdict } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { residentBytes } from "../resident-memory.ts";
import { type ScenarioResult, target } from "../result.ts";
import { BenchDatabase } from "../stage/database.ts";
import { fillTable } from "../stage/fill.ts";
import type { Ground } from "../stage/ground.ts";
import { LoopDelayMonitor } from "../stage/loop-delay.ts";
import { migrate, type ServiceProcess, startService } from "../stage/service.ts";
import { median } from "../statistics.ts";
import { freshJti, LIVE_TOKENS, liveJti } from "../tokens.ts";
import type { Scenario } from "./scenario.ts";

const STARTS = 3;
const LARGE_TOKENS = 10_000_000;
/** How long checks continue after the index has been loaded. */
const AFTER_MS = 500;
/** The pause between an answer and the next check: short enough to see a second, long enough not to be a load. */
const PAUSE_MS = 2;

/** Milliseconds, from the open port on. */
interface Answers {
  readonly firstRight: number;
  /** From then on all answers were right. */
  readonly onlyRight: number;
  /** The slowest answer from the first right one on. */
  readonly slowest: number;
}

/** Milliseconds unless noted. */
export interface ColdStart extends Answers {
  readonly port: number;
  /** As the service reports it: from the beginning of the load to its end. */
  readonly load: number;
  /** From the open port on. */
  readonly loaded: number;
  readonly delayP99: number;
  readonly delayMax: number;
  /** The process's memory {@link AFTER_MS} after the index was loaded. */
  readonly bytes: number;
}

/** Starts a service on a database with the first `entries` live tokens, checks from the first moment on, and ends it. */
export async function coldStart(
  { guard, closing }: Ground,
  { name, databaseUrl, entries }: { name: string; databaseUrl: string; entries: number },
): Promise<ColdStart> {
  const monitor = await LoopDelayMonitor.create(guard.folder, name);
  const { environment } = monitor;
  const service = closing(await startService(guard, { name, databaseUrl, environment }));
  const openedAt = Date.now();
  const done = new AbortController();
  const loading = service.indexLoaded().then(async (line) => {
    await delay(AFTER_MS);
    return line;
  });
  const [loaded, answers] = await Promise.all([
    loading.finally(() => done.abort()),
    askUntil(service, { entries, stop: done.signal }),
  ]);
  const bytes = residentBytes(service.pid);
  await service.close();
  if (loaded.entries < entries) throw new Error(`the index holds ${loaded.entries} of ${entries} entries`);
  const loadedAt = Date.parse(loaded.time);
  const { p99Ms, maxMs } = await monitor.between(openedAt, loadedAt);
  return {
    ...answers,
    port: service.startMs,
    load: loaded.duration_ms,
    loaded: loadedAt - openedAt,
    delayP99: p99Ms,
    delayMax: maxMs,
    bytes,
  };
}

/** Repeatedly checks one token that is blacklisted and one that is not. Rejects at the first wrong answer; a refusal is not one. */
async function askUntil(
  { client }: ServiceProcess,
  { entries, stop }: { entries: number; stop: AbortSignal },
): Promise<Answers> {
  const isBlacklisted = client.method(TokenBlacklist.method.isBlacklisted);
  const began = performance.now();
  let firstRight = Number.POSITIVE_INFINITY;
  let onlyRight = Number.POSITIVE_INFINITY;
  let slowest = 0;
  while (!stop.aborted) {
    const asked = performance.now();
    const hit = liveJti(Math.floor(Math.random() * entries));
    const [ofHit, ofMiss] = await isBlacklisted({ jtis: [hit, freshJti()] }).then(
      ({ verdicts }) => verdicts,
      () => [Verdict.UNKNOWN, Verdict.UNKNOWN],
    );
    const answered = performance.now();
    if (ofHit === Verdict.NOT_BLACKLISTED || ofMiss === Verdict.BLACKLISTED) {
      throw new Error(`a wrong answer ${Math.round(answered - began)} ms after the port had opened`);
    }
    if (ofHit === Verdict.BLACKLISTED && ofMiss === Verdict.NOT_BLACKLISTED) {
      onlyRight = Math.min(onlyRight, answered - began);
      firstRight = Math.min(firstRight, onlyRight);
    } else {
      onlyRight = Number.POSITIVE_INFINITY;
    }
    if (firstRight < Number.POSITIVE_INFINITY) slowest = Math.max(slowest, answered - asked);
    await delay(PAUSE_MS);
  }
  return { firstRight, onlyRight, slowest };
}

function resultOf(name: string, starts: readonly ColdStart[], targets: { loadMs?: number }): ScenarioResult {
  const figure = (what: string, of: (start: ColdStart) => number) => ({ name: what, values: starts.map(of) });
  return {
    name,
    unit: "ms, one column a start",
    figures: {
      headings: starts.map((_, index) => `${index + 1}`),
      rows: [
        figure("from start to open port", ({ port }) => port),
        figure("from open port to the first right answer", ({ firstRight }) => firstRight),
        figure("from open port to right answers only", ({ onlyRight }) => onlyRight),
        figure("from open port to loaded index", ({ loaded }) => loaded),
        figure("load of the index by itself", ({ load }) => load),
        figure("slowest answer meanwhile", ({ slowest }) => slowest),
        figure("event loop's delay, p99", ({ delayP99 }) => delayP99),
        figure("event loop's delay, worst", ({ delayMax }) => delayMax),
      ],
    },
    // The targets are promises; the duration of a start depends on the machine too.
    targets: [
      target(
        `${name}, right answers, ms after the port opened, at worst`,
        Math.max(...starts.map(({ onlyRight }) => onlyRight)),
        { atMost: 1000 },
      ),
      ...(targets.loadMs === undefined
        ? []
        : [
            target(`${name}, ms to load the index`, median(starts.map(({ load }) => load)), {
              atMost: targets.loadMs,
            }),
          ]),
      target(
        `${name}, event loop's p99 in ms during the load`,
        median(starts.map(({ delayP99 }) => delayP99)),
        { atMost: 20 },
      ),
    ],
    skipped: [],
  };
}

export function coldStartScenario(): Scenario {
  const name = `Cold start with ${LIVE_TOKENS.toLocaleString("en")} rows`;
  return {
    name,
    async run(_options, { ground, database }) {
      const starts: ColdStart[] = [];
      for (let start = 1; start <= STARTS; start++) {
        const run = { name: `cold-${start}`, databaseUrl: database.url, entries: LIVE_TOKENS };
        starts.push(await coldStart(ground, run));
      }
      return resultOf(name, starts, { loadMs: 3000 });
    },
  };
}

/** Uses a server of its own, which it fills and ends. */
export function largeColdStartScenario(): Scenario<Ground> {
  const name = `Cold start with ${LARGE_TOKENS.toLocaleString("en")} rows`;
  return {
    name,
    async run(_options, ground) {
      const database = ground.closing(await BenchDatabase.start({ bufferPoolGiB: 8 }));
      await migrate(database.url);
      await fillTable(database.url, { to: LARGE_TOKENS });
      await database.settle();
      const run = { name: "cold-large", databaseUrl: database.url, entries: LARGE_TOKENS };
      const start = await coldStart(ground, run);
      await database.close();
      return resultOf(name, [start], {});
    },
  };
}
