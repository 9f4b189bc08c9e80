import type { EpochMs } from "../entry.ts";
import type { Clock } from "./clock.ts";

/** The local clock and the database's clock, extrapolated from its last reading. */
export class ClockBounds {
  readonly #clock: Clock;
  #skewMs = 0;
  #seen: { readonly clock: EpochMs; readonly at: number } | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Milliseconds by which the database's clock was ahead of the local one at the last reading. */
  get skewMs(): number {
    return this.#skewMs;
  }

  /** Records a reading of the database's clock, taken between `sentAt` and now. */
  record(databaseClock: EpochMs, sentAt: EpochMs): void {
    this.#skewMs = databaseClock - (sentAt + this.#clock.now()) / 2;
    this.#seen = { clock: databaseClock, at: this.#clock.monotonic() };
  }

  /** The current time by the slower clock: a time before it has passed by both clocks. */
  earliest(): EpochMs {
    return Math.min(this.#clock.now(), Math.floor(this.#database())) as EpochMs;
  }

  /** The current time by the faster clock: a time after it has passed by neither clock. */
  latest(): EpochMs {
    return Math.max(this.#clock.now(), Math.floor(this.#database())) as EpochMs;
  }

  /**
   * The database's clock: its last reading plus the time since the reading arrived, which is at most the time since the clock was read; the
   * local clock if there is no reading.
   */
  #database(): number {
    if (this.#seen === undefined) return this.#clock.now();
    const { clock, at } = this.#seen;
    return clock + this.#clock.monotonic() - at;
  }
}
