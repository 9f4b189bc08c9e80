import type { Clock } from "../time/clock.ts";

/**
 * How many lines of one kind are written at once; after that, one line per window. Enough to see what happens and where it comes from, while a
 * peer that fails thousands of times a second can neither fill the disk nor displace other lines.
 */
export const LOGGED_REFUSALS = 10;
export const LOGGED_REFUSALS_WINDOW_MS = 1000;
/** How long after its first suppressed line a kind is reported, if no further line of the kind has reported the suppressed lines. */
export const SUPPRESSED_REPORT_MS = 10_000;

interface SampledLine {
  /** The fields that all lines of the kind have in common. */
  readonly fields: object;
  /** Returns the other fields of this line. Called only if the line is written. */
  readonly details: () => object;
  /** Writes a line with these fields. */
  readonly write: (fields: object) => void;
}

interface Kind {
  /** How many lines may be written as of `refilledAt`; fractional. */
  allowance: number;
  /** By the monotonic clock. */
  refilledAt: number;
  /** The number of lines suppressed since the last line that was written. */
  suppressed: number;
  /** Reports the number of suppressed lines in a line of its own; undefined if there are no suppressed lines. */
  report: (() => void) | undefined;
  cancelReport: () => void;
}

/**
 * Samples log lines that unauthenticated peers can cause: of each kind, up to `LOGGED_REFUSALS` at once, then one per
 * `LOGGED_REFUSALS_WINDOW_MS`. A kind consists of values from this program (method, code, reason), never of a peer's input, so that there
 * are few kinds. Metrics also count suppressed lines.
 */
export class LogSampling {
  readonly #clock: Clock;
  readonly #kinds = new Map<string, Kind>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Writes a line of this kind, unless it is suppressed. The number of suppressed lines is added to the next line as `suppressed` or, if
   * none is written for a while, reported in a line with `fields` alone.
   */
  write(kind: string, { fields, details, write }: SampledLine): void {
    const state = this.#refilled(kind);
    if (state.allowance >= 1) {
      state.allowance--;
      const suppressed = takeSuppressed(state);
      write({ ...fields, ...details(), ...(suppressed === 0 ? {} : { suppressed }) });
      return;
    }
    state.suppressed++;
    if (state.report !== undefined) return;
    state.report = () => write({ ...fields, suppressed: takeSuppressed(state) });
    state.cancelReport = this.#clock.schedule(SUPPRESSED_REPORT_MS, state.report);
  }

  /** Reports all suppressed lines now. */
  close(): void {
    for (const { report } of this.#kinds.values()) report?.();
  }

  #refilled(name: string): Kind {
    const now = this.#clock.monotonic();
    let kind = this.#kinds.get(name);
    if (kind === undefined) {
      kind = {
        allowance: LOGGED_REFUSALS,
        refilledAt: now,
        suppressed: 0,
        report: undefined,
        cancelReport: () => {},
      };
      this.#kinds.set(name, kind);
    }
    const more = (now - kind.refilledAt) / LOGGED_REFUSALS_WINDOW_MS;
    kind.allowance = Math.min(LOGGED_REFUSALS, kind.allowance + more);
    kind.refilledAt = now;
    return kind;
  }
}

/** Returns the number of suppressed lines, which need no further report. */
function takeSuppressed(kind: Kind): number {
  const { suppressed } = kind;
  kind.suppressed = 0;
  kind.report = undefined;
  kind.cancelReport();
  return suppressed;
}
