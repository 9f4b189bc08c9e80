import { setTimeout as delay } from "node:timers/promises";

/** The response time of `/livez`, in milliseconds. */
export interface LivezTimes {
  readonly count: number;
  readonly p99: number;
  readonly worst: number;
}

/** Requests `/livez` continually, one request after the other, while `work` runs, and at least a hundred times. */
export async function livezDuring(
  adminUrl: string,
  work: () => Promise<unknown>,
  { everyMs = 10 } = {},
): Promise<LivezTimes> {
  let isOver = false;
  const times: number[] = [];
  const asking = (async () => {
    do {
      const began = performance.now();
      const response = await fetch(`${adminUrl}/livez`);
      await response.arrayBuffer();
      times.push(performance.now() - began);
      if (response.status !== 200) throw new Error(`/livez answered ${response.status}`);
      await delay(everyMs);
    } while (!isOver || times.length < 100);
  })();
  try {
    await work();
  } finally {
    isOver = true;
    await asking;
  }
  times.sort((a, b) => a - b);
  return {
    count: times.length,
    p99: times[Math.ceil(times.length * 0.99) - 1] as number,
    worst: times.at(-1) as number,
  };
}
