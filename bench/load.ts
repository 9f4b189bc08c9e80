import { setTimeout as delay } from "node:timers/promises";
import type { Contestant } from "./contestant.ts";
import { cpuSeconds } from "./cpu-time.ts";

/** The measurements of one contestant in one slice. */
export interface Slice {
  readonly calls: number;
  readonly seconds: number;
  /** Milliseconds, one per call. */
  readonly latencies: readonly number[];
  /** CPU time of the contestant's processes. */
  readonly cpuSeconds: number;
}

/** Runs `callers` concurrent callers, each of which calls again as soon as it has an answer. */
export async function closedLoop(
  contestant: Contestant,
  { callers, seconds }: { callers: number; seconds: number },
): Promise<Slice> {
  const latencies: number[] = [];
  return measure(contestant, latencies, async () => {
    const end = performance.now() + seconds * 1000;
    async function caller(): Promise<void> {
      for (let began = performance.now(); began < end; ) {
        await contestant.call();
        const ended = performance.now();
        latencies.push(ended - began);
        began = ended;
      }
    }
    await Promise.all(Array.from({ length: callers }, caller));
  });
}

/**
 * Calls at a fixed rate, whether or not earlier calls have been answered, until `stop` is aborted. Latency counts from
 * the sending: Node's timers are a millisecond coarse, which is more than a call takes.
 */
export async function openLoop(
  contestant: Contestant,
  { rate, stop }: { rate: number; stop: AbortSignal },
): Promise<Slice> {
  const latencies: number[] = [];
  return measure(contestant, latencies, async () => {
    const calls: Promise<void>[] = [];
    const began = performance.now();
    async function timed(): Promise<void> {
      const sent = performance.now();
      await contestant.call();
      latencies.push(performance.now() - sent);
    }
    while (!stop.aborted) {
      const due = Math.floor(((performance.now() - began) / 1000) * rate);
      while (calls.length < due) calls.push(timed());
      await delay(1);
    }
    await Promise.all(calls);
  });
}

async function measure(
  { pids }: Contestant,
  latencies: readonly number[],
  work: () => Promise<void>,
): Promise<Slice> {
  const cpuBefore = cpuSeconds(pids);
  const began = performance.now();
  await work();
  const seconds = (performance.now() - began) / 1000;
  return { calls: latencies.length, seconds, latencies, cpuSeconds: cpuSeconds(pids) - cpuBefore };
}
