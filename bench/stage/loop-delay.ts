import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { percentile } from "../statistics.ts";

const MONITOR = new URL("loop-delay.mjs", import.meta.url).href;

/** How late a one-millisecond timer fired, which is how long the event loop was busy. */
export interface LoopDelay {
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** Monitors the event loops of one service and of all processes and threads that it starts. */
export class LoopDelayMonitor {
  readonly #folder: string;
  /** The environment for the service. */
  readonly environment: Readonly<Record<string, string>>;

  private constructor(folder: string) {
    this.#folder = folder;
    this.environment = { NODE_OPTIONS: `--import=${MONITOR}`, LOOP_DELAY_FOLDER: folder };
  }

  static async create(folder: string, name: string): Promise<LoopDelayMonitor> {
    const own = join(folder, `${name}-loop-delay`);
    await mkdir(own);
    return new LoopDelayMonitor(own);
  }

  /** The worst delay of any loop between two times (milliseconds since 1970). Only after the service has ended. */
  async between(from: number, to: number): Promise<LoopDelay> {
    let worst: LoopDelay = { p99Ms: Number.NaN, maxMs: Number.NaN };
    for (const file of await readdir(this.#folder)) {
      const notes = JSON.parse(await readFile(join(this.#folder, file), "utf8")) as [number, number][];
      const late = notes.filter(([time]) => time >= from && time <= to).map(([, lateMs]) => lateMs);
      const own = { p99Ms: percentile(late, 0.99), maxMs: percentile(late, 1) };
      if (!(own.p99Ms <= worst.p99Ms)) worst = own;
    }
    return worst;
  }
}
