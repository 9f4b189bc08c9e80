import type { SoakResult } from "./soak.ts";
import type { Trend } from "./trend.ts";

const MEGABYTE = 1024 * 1024;
/** The permitted growth of a process per hour, after the warm-up. */
const MAX_BYTES_PER_HOUR = MEGABYTE;
/** Every fault opens and closes connections; a leak of one in ten minutes is still visible. */
const MAX_DESCRIPTORS_PER_HOUR = 6;
/** In a shorter run V8 is still sizing its heap, so that a slope does not indicate a leak. */
const MIN_MEASURED_MS = 15 * 60_000;
/** Below this a run proves nothing. */
const MIN_CHECKS_PER_SECOND = 50;
const MIN_REVOKED_PER_SECOND = 2;

/** The reasons for failure, one per line; empty if the run has passed. */
export function failuresOf(result: SoakResult): string[] {
  const { violations, checks, revoked, audited, elapsedMs, growth, failedOtherwise } = result;
  const seconds = elapsedMs / 1000;
  const failures = [...violations];
  if (failedOtherwise > 0) failures.push(`${failedOtherwise} calls failed while nothing was broken`);
  if (checks < MIN_CHECKS_PER_SECOND * seconds || revoked < MIN_REVOKED_PER_SECOND * seconds || audited === 0)
    failures.push(
      `it did too little to show anything: ${checks} checks, ${revoked} revoked, ${audited} audited`,
    );
  if (growth.measuredMs < MIN_MEASURED_MS) return failures;
  for (const { name, live, rss, descriptors } of growth.processes) {
    if (grows(live, MAX_BYTES_PER_HOUR)) failures.push(`${name}: what it holds grows`);
    if (grows(rss, MAX_BYTES_PER_HOUR)) failures.push(`${name}: memory grows`);
    if (grows(descriptors, MAX_DESCRIPTORS_PER_HOUR)) failures.push(`${name}: descriptors grow`);
  }
  return failures;
}

/** The whole confidence interval exceeds the limit. */
function grows(trend: Trend | undefined, most: number): boolean {
  return trend !== undefined && trend.low > most;
}
