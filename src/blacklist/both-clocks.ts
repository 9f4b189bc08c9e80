import type { Clock } from "../clock.ts";
import type { EpochMs } from "../entry.ts";

/** This machine's clock beside the database's, as far as it has been seen. */
export class BothClocks {
  readonly #clock: Clock;
  #skewMs = 0;

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
  }

  /** The earlier of the two, now: what has passed by this one has passed by both. */
  earlier(): EpochMs {
    return (this.#clock.now() + Math.min(0, this.#skewMs)) as EpochMs;
  }
}
