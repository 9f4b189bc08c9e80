import { alternate } from "../alternate.ts";
import { cpuSeconds } from "../cpu-time.ts";
import type { CheckLoad, CheckSlice, ChecksInput, ClockCost, Way } from "../gateway/checks.ts";
import { type Gateway, startGateway } from "../gateway/gateway.ts";
import { type Figures, medianRatio, type Target, target } from "../result.ts";
import type { Stage } from "../stage/stage.ts";
import { median } from "../statistics.ts";
import { NO_REDIS, type Scenario } from "./scenario.ts";

/** A way to check, under a load. */
interface Contestant {
  readonly name: string;
  readonly way: Way;
  readonly callers: number;
  readonly onlyMisses: boolean;
}

interface Slice extends CheckSlice {
  /** CPU time of the serving processes per check. */
  readonly servingMicros: number;
}

const WARM_UP_ROUNDS = 2;
/** Warm-up of each new process: V8 compiles frequent code, and some ten thousand calls of one caller suffice. */
const WARM_UP: readonly CheckLoad[] = [
  { callers: 1, seconds: 3 },
  { callers: 1, seconds: 3 },
  { callers: 128, seconds: 1 },
  { callers: 128, seconds: 1 },
];
const CALLERS = [1, 16, 128, 512];
const PEER = "ioredis, auto-pipelined";
const WAYS: readonly (readonly [name: string, way: Way, onlyMisses: boolean])[] = [
  ["ioredis", "ioredis", false],
  [PEER, PEER, false],
  ["remote", "remote", false],
  ["fully fresh", "fresh", false],
  // Hits need no proof.
  ["fully fresh, misses alone", "fresh", true],
  ["5 s old at most", "stale", false],
];
const CONTESTANTS: readonly Contestant[] = [
  ...CALLERS.flatMap((callers) =>
    WAYS.map(([name, way, onlyMisses]) => ({ name: named(callers, name), way, callers, onlyMisses })),
  ),
  // The same stack without our code: the best that a fully fresh check by one caller can be.
  { name: named(1, "a bare stream and a bare read"), way: "bare", callers: 1, onlyMisses: true },
  { name: named(1, "peek"), way: "peek", callers: 1, onlyMisses: false },
];

/** The client library and ioredis, a process per way, on the same million entries. */
export function clientCheckScenario(): Scenario {
  const name = "Client: checks of one jti, half of them misses";
  return {
    name,
    async run({ rounds, seconds, profileFolder }, stage) {
      if (stage.redis === undefined) return { name, unit: "checks", targets: [], skipped: [NO_REDIS] };
      const gateways = new Map<Way, Gateway>();
      for (const { way } of CONTESTANTS) {
        if (gateways.has(way)) continue;
        const given: ChecksInput = { way, port: portOf(way, stage) };
        const start = { program: "checks.ts", name: `gateway-${way}`, given, profileFolder };
        const gateway = await startGateway(stage.ground, start);
        gateways.set(way, gateway);
        for (const load of WARM_UP) {
          await gateway.ask("prepare", { onlyMisses: way === "bare" });
          await gateway.ask("run", load);
        }
      }
      const slices = await alternate(CONTESTANTS, { rounds, warmUp: WARM_UP_ROUNDS }, (contestant) =>
        slice(gateways.get(contestant.way) as Gateway, {
          contestant,
          seconds,
          pids: pidsOf(contestant, stage),
        }),
      );
      const clock = await (gateways.get("peek") as Gateway).ask<ClockCost>("clock");
      for (const gateway of gateways.values()) await gateway.close();
      return {
        name,
        unit: "latencies in µs, of misses; cpu of the client's process and of those that serve it, in µs a check",
        figures: figuresOf(slices, clock),
        targets: targetsOf(slices),
        skipped: [],
      };
    },
  };
}

async function slice(
  gateway: Gateway,
  { contestant, seconds, pids }: { contestant: Contestant; seconds: number; pids: readonly number[] },
): Promise<Slice> {
  const { callers, onlyMisses } = contestant;
  await gateway.ask("prepare", { onlyMisses });
  const before = cpuSeconds(pids);
  const run = await gateway.ask<CheckSlice>("run", { callers, seconds } satisfies CheckLoad);
  return { ...run, servingMicros: ((cpuSeconds(pids) - before) / run.checks) * 1e6 };
}

function figuresOf(slices: readonly Slice[][], clock: ClockCost): Figures {
  const rows = CONTESTANTS.map(({ name, callers }, index) => {
    const own = slices[index] as Slice[];
    const { p50Micros, p99Micros, cpuMicros, servingMicros } = medians(own);
    const peer = rates(slices, named(callers, PEER));
    const ratio = medianRatio(own.map(rate), peer);
    return { name, values: [median(own.map(rate)), p50Micros, p99Micros, cpuMicros, servingMicros, ratio] };
  });
  return {
    headings: ["per second", "p50", "p99", "client cpu", "serving cpu", "it / auto-pipelined"],
    rows: [
      ...rows,
      { name: "reading the clock alone", values: [Number.NaN, clock.p50Micros, clock.p99Micros] },
    ],
  };
}

function targetsOf(slices: readonly Slice[][]): Target[] {
  /** The best throughput over all numbers of callers. */
  const best = roundByRound(
    CALLERS.flatMap((callers) => ["ioredis", PEER].map((name) => rates(slices, named(callers, name)))),
    Math.max,
  );
  const stale = roundByRound(
    CALLERS.map((callers) => rates(slices, named(callers, "5 s old at most"))),
    Math.max,
  );
  const peek = of(slices, named(1, "peek"));
  const toPeer = (callers: number, name: string) =>
    medianRatio(rates(slices, named(callers, name)), rates(slices, named(callers, PEER)));
  const p50 = (callers: number, name: string) => medians(of(slices, named(callers, name))).p50Micros;
  const ratioTarget = (callers: number, name: string, atLeast: number) =>
    target(`Client, ${named(callers, name)}, to ioredis auto-pipelined`, toPeer(callers, name), { atLeast });
  return [
    target("Client, peek, to ioredis at its best", medianRatio(peek.map(rate), best), { atLeast: 10 }),
    target("Client, peek, p99 in µs", medians(peek).p99Micros, { atMost: 10 }),
    target("Client, 5 s old at most, to ioredis, each at its best", medianRatio(stale, best), { atLeast: 4 }),
    ...["fully fresh", "fully fresh, misses alone"].flatMap((name) => [
      target(`Client, ${named(1, name)}, p50 to that of ioredis`, p50(1, name) / p50(1, "ioredis"), {
        atMost: 3,
      }),
      ratioTarget(128, name, 1.4),
      ratioTarget(512, name, 2.5),
    ]),
    ratioTarget(128, "remote", 1),
    ratioTarget(512, "remote", 1.5),
  ];
}

function named(callers: number, name: string): string {
  return `${callers} caller${callers === 1 ? "" : "s"}: ${name}`;
}

function portOf(way: Way, { service, bare, redis }: Stage): number {
  if (way.startsWith("ioredis")) return redis?.fast.port as number;
  return (way === "bare" ? bare : service).port;
}

function pidsOf({ way }: Contestant, { service, bare, database, redis }: Stage): number[] {
  if (way.startsWith("ioredis")) return [redis?.fast.pid as number];
  return [(way === "bare" ? bare : service).pid, database.pid];
}

function of(slices: readonly Slice[][], name: string): readonly Slice[] {
  return slices[CONTESTANTS.findIndex((contestant) => contestant.name === name)] as Slice[];
}

function rates(slices: readonly Slice[][], name: string): number[] {
  return of(slices, name).map(rate);
}

function rate({ checks, seconds }: Slice): number {
  return checks / seconds;
}

function medians(own: readonly Slice[]): Omit<Slice, "checks" | "seconds"> {
  const of = (figure: (slice: Slice) => number) => median(own.map(figure));
  return {
    p50Micros: of(({ p50Micros }) => p50Micros),
    p99Micros: of(({ p99Micros }) => p99Micros),
    cpuMicros: of(({ cpuMicros }) => cpuMicros),
    servingMicros: of(({ servingMicros }) => servingMicros),
  };
}

function roundByRound(all: readonly number[][], fold: (...values: number[]) => number): number[] {
  return (all[0] as number[]).map((_, round) => fold(...all.map((values) => values[round] as number)));
}
