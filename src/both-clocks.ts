import type { Clock } from "./clock.ts";
import type { EpochMs } from "./entry.ts";

/** This machine's clock beside the database's, as far as it has been seen. */
export class BothClocks {
  readonly #clock: Clock;
  #skewMs = 0;
  #seen: { readonly clock: EpochMs; readonly at: number } | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Milliseconds by which the database's clock was ahead when last seen. */
  get skewMs(): number {
    return this.#skewMs;
  }

  /** The database's clock, read at some time after `sentAt` and before now. */
  observe(databaseClock: EpochMs, sentAt: EpochMs): void {
    this.#skewMs = databaseClock - (sentAt + this.#clock.now()) / 2;
    this.#seen = { clock: databaseClock, at: this.#clock.monotonic() };
  }

  /**
   * The earlier of the two, now: what has passed by this one has passed by both. The database's has gone on since it was
   * read by at least as long as ago its answer arrived.
   */
  earlier(): EpochMs {
    return Math.min(this.#clock.now(), Math.floor(this.#database())) as EpochMs;
  }

  /** The later of the two, now: what has not passed by this one has passed by neither. */
  later(): EpochMs {
    return Math.max(this.#clock.now(), Math.floor(this.#database())) as EpochMs;
  }

  /** This machine's own where the other has not been seen. */
  #database(): number {
    if (this.#seen === undefined) return this.#clock.now();
    const { clock, at } = this.#seen;
    return clock + this.#clock.monotonic() - at;
  }
}
