import type { SoakResult } from "./soak.ts";
import type { Trend } from "./trend.ts";

const MEGABYTE = 1024 * 1024;
/** What a process may grow by in an hour, after it has warmed up. */
const MAX_BYTES_PER_HOUR = MEGABYTE;
/** Connections come and go with every fault; a leak of one in ten minutes shows all the same. */
const MAX_DESCRIPTORS_PER_HOUR = 6;
/** With less than this V8 is still finding its size, and a slope says nothing of a leak. */
const MIN_MEASURED_MS = 15 * 60_000;
/** A run that did less shows nothing, whatever it found. */
const MIN_CHECKS_PER_SECOND = 50;
const MIN_REVOKED_PER_SECOND = 2;

/** Why the run has failed, one reason a line; empty where it has not. */
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

/** Certainly: the whole interval lies above what is allowed. */
function grows(trend: Trend | undefined, most: number): boolean {
  return trend !== undefined && trend.low > most;
}
