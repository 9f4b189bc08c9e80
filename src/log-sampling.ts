import type { Clock } from "./clock.ts";
import { LOGGED_REFUSALS, LOGGED_REFUSALS_TELL_MS, LOGGED_REFUSALS_WINDOW_MS } from "./limits.ts";

/** What a line that may be written has to say beside: how many of its kind were left out since the last one. Empty: none. */
export type Suppressed = { readonly suppressed?: number };

interface Kind {
  /** Lines that may be written at once, as of `at`. */
  allowance: number;
  at: number;
  suppressed: number;
  /** Says in a line of its own how many were left out. Set while some were. */
  tell: (() => void) | undefined;
  cancelTell: () => void;
}

/**
 * Decides which of the log lines are written that anybody causes who reaches a port: of each kind `LOGGED_REFUSALS` at once, and one for
 * each `LOGGED_REFUSALS_WINDOW_MS` from then on. A kind is made of what this program says (the method, the code, the reason), never of
 * what a peer sends, so that there are few of them. Metrics count what is not written, too.
 */
export class LogSampling {
  readonly #clock: Clock;
  readonly #kinds = new Map<string, Kind>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Undefined: the line is to be left out. Where no line of the kind is written for a while after that, `tell` is called with the number of
   * those that were left out.
   */
  admit(kind: string, tell: (left: { readonly suppressed: number }) => void): Suppressed | undefined {
    const known = this.#refilled(kind);
    if (known.allowance >= 1) {
      known.allowance--;
      const { suppressed } = known;
      if (suppressed === 0) return NONE;
      forget(known);
      return { suppressed };
    }
    known.suppressed++;
    if (known.tell === undefined) {
      known.tell = () => {
        const { suppressed } = known;
        forget(known);
        tell({ suppressed });
      };
      known.cancelTell = this.#clock.schedule(LOGGED_REFUSALS_TELL_MS, known.tell);
    }
    return undefined;
  }

  /** Tells now of all lines that were left out. */
  close(): void {
    for (const { tell } of this.#kinds.values()) tell?.();
  }

  #refilled(name: string): Kind {
    const now = this.#clock.monotonic();
    let kind = this.#kinds.get(name);
    if (kind === undefined) {
      kind = { allowance: LOGGED_REFUSALS, at: now, suppressed: 0, tell: undefined, cancelTell: () => {} };
      this.#kinds.set(name, kind);
    }
    const more = (now - kind.at) / LOGGED_REFUSALS_WINDOW_MS;
    kind.allowance = Math.min(LOGGED_REFUSALS, kind.allowance + more);
    kind.at = now;
    return kind;
  }
}

const NONE: Suppressed = {};

function forget(kind: Kind): void {
  kind.suppressed = 0;
  kind.tell = undefined;
  kind.cancelTell();
}
