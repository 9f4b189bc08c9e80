import { setImmediate as turn } from "node:timers/promises";
import { percentile } from "../statistics.ts";
import { bareSyncs } from "./bare-syncs.ts";
import { connected } from "./connected.ts";
import { given, offer } from "./offer.ts";
import { ProbeMaker, type Probes } from "./probes.ts";

// One way to check tokens, in a process of its own. The same loops drive all ways.

export interface ChecksInput {
  readonly way: Way;
  /** The port of the service, or of Redis. */
  readonly port: number;
}

/** "bare" has no entries, so it can only be asked about misses. */
export type Way = "ioredis" | "ioredis, auto-pipelined" | "bare" | "remote" | "fresh" | "stale" | "peek";

export interface CheckLoad {
  /** The number of callers; each sends its next check as soon as it has an answer. */
  readonly callers: number;
  readonly seconds: number;
}

export interface CheckSlice {
  readonly checks: number;
  readonly seconds: number;
  /** Of misses only: the client may remember a hit. */
  readonly p50Micros: number;
  readonly p99Micros: number;
  /** CPU time of this process per check. */
  readonly cpuMicros: number;
}

export type ClockCost = Pick<CheckSlice, "p50Micros" | "p99Micros">;

/** Probes per slice; a slice that uses them up ends early. */
const PROBES = 300_000;
/** One in this many checks is timed, because reading the clock takes as long as the fastest checks. */
const TIMED_ONE_IN = 16;
/** After this many checks without waiting, a caller yields to the event loop, which the client needs as well. */
const CHECKS_A_TURN = 1024;
const MAX_STALENESS_MS = 5000;

const { way, port } = given<ChecksInput>();
const maker = new ProbeMaker();
let probes: Probes;
/** The answer as a boolean, or as 1 and 0; immediate, or a promise. */
let ask: (jti: string) => unknown;

async function start(): Promise<void> {
  ask = await opened();
}

async function opened(): Promise<typeof ask> {
  if (way === "ioredis" || way === "ioredis, auto-pipelined") {
    // Imported only where it is used, because ioredis changes how V8 treats all strings of the process.
    const { Redis } = await import("ioredis");
    const redis = new Redis({ port, host: "127.0.0.1", enableAutoPipelining: way !== "ioredis" });
    await redis.ping();
    return (jti) => redis.exists(jti);
  }
  if (way === "bare") {
    const sync = bareSyncs(port);
    return () => sync();
  }
  const client = await connected(port, way === "remote" ? "remote" : "local");
  const options = { maxStalenessMs: MAX_STALENESS_MS };
  if (way === "peek") return (jti) => client.peek(jti, options);
  if (way === "stale") return (jti) => client.isBlacklisted(jti, options);
  return (jti) => client.isBlacklisted(jti);
}

/**
 * Makes the probes in advance, so that making them is not measured. They survive two collections of the young generation, and are
 * then promoted out of it. A full collection would find the process idle, which a gateway never is: V8 drops object shapes without
 * instances, and the code compiled for them.
 */
async function prepare({ onlyMisses }: { onlyMisses: boolean }): Promise<void> {
  probes = await maker.make(PROBES, { onlyMisses });
  for (let times = 0; times < 2; times++) globalThis.gc?.({ type: "minor" });
}

async function run(load: CheckLoad): Promise<CheckSlice> {
  const timed: number[] = [];
  const cpuBefore = process.cpuUsage();
  const began = performance.now();
  const checks = await (way === "peek" ? inARow(load, timed) : closedLoop(load, timed));
  const seconds = (performance.now() - began) / 1000;
  const { user, system } = process.cpuUsage(cpuBefore);
  return {
    checks,
    seconds,
    p50Micros: percentile(timed, 0.5) * 1000,
    p99Micros: percentile(timed, 0.99) * 1000,
    cpuMicros: (user + system) / checks,
  };
}

async function closedLoop({ callers, seconds }: CheckLoad, timed: number[]): Promise<number> {
  const { jtis, isHit } = probes;
  let next = 0;
  let isOver = false;
  const end = setTimeout(() => {
    isOver = true;
  }, seconds * 1000);
  async function caller(): Promise<void> {
    while (!isOver && next < PROBES) {
      const at = next++;
      const jti = jtis[at] as string;
      if (at % TIMED_ONE_IN === 0 && isHit[at] === 0) {
        const asked = performance.now();
        const answer = await ask(jti);
        timed.push(performance.now() - asked);
        mustBe(answer, 0);
      } else mustBe(await ask(jti), isHit[at]);
      if (at % CHECKS_A_TURN === 0) await turn();
    }
  }
  await Promise.all(Array.from({ length: callers }, caller));
  clearTimeout(end);
  return next;
}

/** The same loop for checks that need no waiting. */
async function inARow({ seconds }: CheckLoad, timed: number[]): Promise<number> {
  const { jtis, isHit } = probes;
  const end = performance.now() + seconds * 1000;
  let at = 0;
  for (; at < PROBES; at++) {
    const jti = jtis[at] as string;
    if (at % TIMED_ONE_IN === 0 && isHit[at] === 0) {
      const asked = performance.now();
      const answer = ask(jti);
      timed.push(performance.now() - asked);
      mustBe(answer, 0);
    } else mustBe(ask(jti), isHit[at]);
    if (at % CHECKS_A_TURN === 0) {
      await turn();
      if (performance.now() > end) break;
    }
  }
  return at;
}

function mustBe(answer: unknown, isHit: number | undefined): void {
  if (Number(answer) !== isHit) throw new Error(`${way} answered ${answer} where ${isHit} is right`);
}

/** The time of reading the clock twice in a row. */
function clock(): ClockCost {
  const timed: number[] = [];
  for (let time = 0; time < PROBES; time++) {
    const asked = performance.now();
    timed.push(performance.now() - asked);
  }
  return { p50Micros: percentile(timed, 0.5) * 1000, p99Micros: percentile(timed, 0.99) * 1000 };
}

offer(start, { prepare, run, clock });
