import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import type { Context } from "mocha";

/** What a process holds at one moment. Linux only. */
export interface Usage {
  readonly rssBytes: number;
  readonly descriptors: number;
}

/** What was left right after a collection. */
export interface Held {
  readonly liveBytes: number;
  /** What V8 has from the kernel for its heap, free pages of it included. */
  readonly heapBytes: number;
  /** Resident, without the pages of files. */
  readonly anonymousBytes: number;
}

/** What `watchedEnvironment` made the process write last; undefined as long as there is nothing. */
export async function heldBytes(file: string): Promise<Held | undefined> {
  const text = await readFile(file, "utf8").catch(() => "");
  const [liveBytes, heapBytes, anonymousBytes] = text.split(" ").map(Number);
  if (liveBytes === undefined || heapBytes === undefined || anonymousBytes === undefined) return undefined;
  return { liveBytes, heapBytes, anonymousBytes };
}

/** Skips a test where the kernel does not show what a process holds, and says so in its title. */
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
