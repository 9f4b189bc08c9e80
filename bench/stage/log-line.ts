import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";

/** A line of the service's log. */
export interface LogLine {
  /** When it was written, as an ISO date. */
  readonly time: string;
  readonly msg: string;
}

/** Resolves to the first line with this message as soon as it is written. Rejects on a timeout. */
export async function lineInLog<L extends LogLine>(
  file: string,
  message: string,
  withinMs: number,
): Promise<L> {
  const giveUpAt = performance.now() + withinMs;
  for (;;) {
    const text = await readFile(file, "utf8");
    // The text behind the last line break may be a partial line.
    const lines = text
      .split("\n")
      .slice(0, -1)
      .filter((line) => line.startsWith("{"))
      .map((line) => JSON.parse(line) as L);
    const found = lines.find(({ msg }) => msg === message);
    if (found !== undefined) return found;
    if (performance.now() > giveUpAt) throw new Error(`no "${message}" in time in the log:\n${text}`);
    await delay(20);
  }
}
