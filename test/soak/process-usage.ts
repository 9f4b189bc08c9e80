import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import type { Context } from "mocha";

/** The resources of a process at one time. Linux only. */
export interface Usage {
  readonly rssBytes: number;
  readonly descriptors: number;
}

/** The heap used after a garbage collection. */
export interface Held {
  readonly liveBytes: number;
  /** V8's heap in memory, including free pages. */
  readonly heapBytes: number;
  /** Resident memory without file pages. */
  readonly anonymousBytes: number;
}

/** The last report of `watchedEnvironment` in the process; undefined before the first. */
export async function heldBytes(file: string): Promise<Held | undefined> {
  const text = await readFile(file, "utf8").catch(() => "");
  const [liveBytes, heapBytes, anonymousBytes] = text.split(" ").map(Number);
  if (liveBytes === undefined || heapBytes === undefined || anonymousBytes === undefined) return undefined;
  return { liveBytes, heapBytes, anonymousBytes };
}

/** Skips a test, with a title that says why, if the kernel does not report a process's resources. */
export function needsProcessUsage(context: Context): void {
  if (existsSync("/proc/self/fd")) return;
  if (context.test !== undefined) context.test.title += " (needs Linux's /proc)";
  context.skip();
}

/** Undefined once the process has ended. */
export async function processUsage(pid: number): Promise<Usage | undefined> {
  try {
    const [status, descriptors] = await Promise.all([
      readFile(`/proc/${pid}/status`, "utf8"),
      readdir(`/proc/${pid}/fd`),
    ]);
    const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1];
    if (kilobytes === undefined) return undefined;
    return { rssBytes: Number(kilobytes) * 1024, descriptors: descriptors.length };
  } catch {
    return undefined;
  }
}
