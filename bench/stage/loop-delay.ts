import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { percentile } from "../statistics.ts";

const MONITOR = new URL("loop-delay.mjs", import.meta.url).href;

/** How late a timer of one millisecond fired: how long the event loop was busy with something else. */
export interface LoopDelay {
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** Watches over the event loops of one service, and of whatever processes and threads it starts. */
export class LoopDelayMonitor {
  readonly #folder: string;
  /** For the service. */
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

  /** The delay between two instants (milliseconds since 1970), of the loop that had it worst. Only once the service has ended. */
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
