import type { Attack } from "./attack.ts";
import type { Observations } from "./observer.ts";

export const MIB = 1024 * 1024;

// The permitted effects of an attack on the service.
/** The maximum rise of resident memory. */
export const MOST_MIB = 100;
/**
 * The part of the rise that may remain some seconds later. If more remains, as V8 and malloc keep memory for reuse, the attack is repeated: a leak
 * adds up, and kept memory is used again.
 */
export const RETURN_MIB = 50;
const PROBE_P99_MS = 250;
const PROBE_WORST_MS = 1000;
/** The maximum duration of checks: the longer of this multiple of the duration before and this time. */
const CHECK_FACTOR = 4;
const CHECK_P99_MS = 50;
/** The maximum number of log lines caused by an attack. */
const MOST_LINES = 1000;

/** The measurements of one attack. Times are in milliseconds, and infinite if a response was missing. */
export interface Figures {
  readonly name: string;
  readonly sends: string;
  /** "overdue": it did not end in time. "let in": a call succeeded that must be refused. */
  readonly sent: number | "let in" | "overdue";
  readonly lived: boolean;
  readonly riseMib: number;
  /** The remaining part of the rise. */
  readonly leftMib: number;
  /** The rise after the repeated attack; undefined if it was not repeated. */
  readonly againMib: number | undefined;
  readonly probe: { readonly p99: number; readonly worst: number };
  readonly check: { readonly quietP99: number; readonly p99: number };
  readonly newcomers: { readonly answered: number; readonly asked: number };
  readonly logLines: number;
  /** The missed criteria; empty if none. */
  readonly misses: readonly string[];
}

interface Measured {
  readonly attack: Attack;
  readonly sent: Figures["sent"];
  readonly lived: boolean;
  readonly quiet: Observations;
  readonly attacked: Observations;
  readonly leftBytes: number;
  readonly rssAgainBytes: number | undefined;
  readonly log: string;
}

export function figuresOf({
  attack,
  sent,
  lived,
  quiet,
  attacked,
  leftBytes,
  rssAgainBytes,
  log,
}: Measured): Figures {
  const figures = {
    name: attack.name,
    sends: attack.sends,
    sent,
    lived,
    riseMib: Math.max(0, attacked.rssBytes - quiet.rssBytes) / MIB,
    leftMib: Math.max(0, leftBytes - quiet.rssBytes) / MIB,
    againMib: rssAgainBytes === undefined ? undefined : (rssAgainBytes - quiet.rssBytes) / MIB,
    probe: { p99: percentile(attacked.probes, 0.99), worst: percentile(attacked.probes, 1) },
    check: { quietP99: percentile(quiet.checks, 0.99), p99: percentile(attacked.checks, 0.99) },
    newcomers: {
      answered: attacked.newcomers.filter(Number.isFinite).length,
      asked: attacked.newcomers.length,
    },
    logLines: log.split("\n").length - 1,
  };
  return { ...figures, misses: missesOf(figures) };
}

/** The criteria that the figures miss. */
export function missesOf({
  sent,
  lived,
  riseMib,
  leftMib,
  againMib,
  probe,
  check,
  newcomers,
  logLines,
}: Omit<Figures, "misses">): string[] {
  const mostCheck = Math.max(CHECK_FACTOR * check.quietP99, CHECK_P99_MS);
  const criteria: readonly [string, boolean][] = [
    ["the process died", lived],
    ["the attack did not end", sent !== "overdue"],
    ["a call was let in", sent !== "let in"],
    [`memory rose by ${MOST_MIB} MiB or more`, riseMib < MOST_MIB],
    [
      `memory did not come back to ${RETURN_MIB} MiB, and rose by ${MOST_MIB} MiB when attacked again`,
      leftMib <= RETURN_MIB || (againMib ?? Number.POSITIVE_INFINITY) < MOST_MIB,
    ],
    [`probes' p99 over ${PROBE_P99_MS} ms`, probe.p99 <= PROBE_P99_MS],
    [`a probe over ${PROBE_WORST_MS} ms`, probe.worst <= PROBE_WORST_MS],
    [`checks' p99 over ${Math.round(mostCheck)} ms`, check.p99 <= mostCheck],
    ["no newcomer was answered", newcomers.answered > 0 || newcomers.asked === 0],
    [`over ${MOST_LINES} lines in the log`, logLines <= MOST_LINES],
  ];
  return criteria.filter(([, isMet]) => !isMet).map(([what]) => what);
}

/**
 * The figures of several runs of one attack on one build: of each time the median, since other programs share the machine; of everything
 * else the worst.
 */
export function figuresOfRuns(runs: readonly [Figures, ...Figures[]]): Figures {
  const median = (of: (run: Figures) => number) => percentile(runs.map(of), 0.5);
  const most = (of: (run: Figures) => number) => Math.max(...runs.map(of));
  const [first] = runs;
  const figures = {
    ...first,
    sent: runs.find(({ sent }) => typeof sent !== "number")?.sent ?? first.sent,
    lived: runs.every(({ lived }) => lived),
    riseMib: most(({ riseMib }) => riseMib),
    leftMib: most(({ leftMib }) => leftMib),
    againMib: runs.some(({ againMib }) => againMib !== undefined)
      ? most(({ againMib }) => againMib ?? 0)
      : undefined,
    probe: { p99: median(({ probe }) => probe.p99), worst: median(({ probe }) => probe.worst) },
    check: { quietP99: median(({ check }) => check.quietP99), p99: median(({ check }) => check.p99) },
    newcomers: {
      answered: Math.min(...runs.map(({ newcomers }) => newcomers.answered)),
      asked: first.newcomers.asked,
    },
    logLines: most(({ logLines }) => logLines),
  };
  return { ...figures, misses: missesOf(figures) };
}

/** The smallest value that is at least this quantile; NaN for no values. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => (a < b ? -1 : 1));
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}
