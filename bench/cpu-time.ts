import { readFileSync } from "node:fs";

/** The kernel's unit of CPU time on Linux is a hundredth of a second. */
const TICKS_A_SECOND = 100;

/** Seconds of CPU time that these processes have used so far; NaN without /proc. */
export function cpuSeconds(pids: readonly number[]): number {
  let ticks = 0;
  for (const pid of pids) {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
      // The second field is the program's name in parentheses, which may contain anything.
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      ticks += Number(fields[11]) + Number(fields[12]);
    } catch {
      return Number.NaN;
    }
  }
  return ticks / TICKS_A_SECOND;
}
