import type { Held } from "./process-usage.ts";
import type { Minute, SoakResult } from "./soak.ts";
import type { Trend } from "./trend.ts";

const MEGABYTE = 1024 * 1024;
const SHOWN_VIOLATIONS = 20;

const count = (value: number) => value.toLocaleString("en");
const megabytes = (bytes: number) => (bytes / MEGABYTE).toFixed(1);

/** One line, and one for each violation. */
export function formatMinute({ elapsedMs, usage, events, ...minute }: Minute): string {
  const processes = usage.map(
    ({ name, rssBytes, held, descriptors }) =>
      `${name} ${held === undefined ? "" : `${inside(held)} of `}${megabytes(rssBytes)} MB/${descriptors} fds`,
  );
  const line = [
    `${(elapsedMs / 60_000).toFixed(1)} min: ${count(minute.checks)} checks, ${count(minute.revoked)} revoked`,
    `${minute.failedInFaults} failed in faults, ${minute.failedOtherwise} otherwise`,
    `${count(minute.audited)} audited, ${minute.violations.length} violations`,
    processes.join(", "),
    events.join(" ") || "nothing broken",
  ].join("; ");
  return [line, ...minute.violations.slice(0, SHOWN_VIOLATIONS).map((text) => `  ${text}`)].join("\n");
}

/** The used heap, V8's heap, and all anonymous pages. */
function inside({ liveBytes, heapBytes, anonymousBytes }: Held): string {
  return [liveBytes, heapBytes, anonymousBytes].map(megabytes).join(" of ");
}

export function formatResult(result: SoakResult, failures: readonly string[]): string {
  const { growth, events, seed } = result;
  const names = Object.entries(events).map(([name, times]) => `${name} ${times}`);
  const shown = failures.slice(0, SHOWN_VIOLATIONS);
  return [
    "",
    `${count(result.checks)} checks, ${count(result.revoked)} revoked, ${count(result.audited)} looked for again, in ${(result.elapsedMs / 60_000).toFixed(1)} minutes`,
    `failed calls at the client library: ${result.failedInFaults} while something was broken, ${result.failedOtherwise} otherwise`,
    `events: ${names.join(", ")}`,
    `memory and descriptors, ${(growth.measuredMs / 60_000).toFixed(1)} minutes after the warm-up (right after a collection; all intervals together hold with 95 % confidence):`,
    ...growth.processes.map(
      ({ name, live, rss, descriptors, rssBytes, descriptorCounts }) =>
        `  ${name}: holds ${trend(live, MEGABYTE)} MB more an hour; anonymous RSS ${rssBytes.map(megabytes).join(" to ")} MB, ${trend(rss, MEGABYTE)} an hour; ${descriptorCounts.join(" to ")} descriptors, ${trend(descriptors, 1)} an hour`,
    ),
    ...shown.map((failure) => `  ${failure}`),
    ...(failures.length > shown.length ? [`  and ${failures.length - shown.length} more`] : []),
    failures.length === 0 ? `ok (seed ${seed})` : `FAILED; again with --seed ${seed}`,
  ].join("\n");
}

function trend(trend: Trend | undefined, unit: number): string {
  if (trend === undefined) return "too short for a slope in";
  const [perHour, low, high] = [trend.perHour, trend.low, trend.high].map((each) => (each / unit).toFixed(2));
  return `${perHour} (${low} to ${high})`;
}
