import type { Clock } from "../time/clock.ts";

/** While there are checks, the pause after a chunk is this multiple of the chunk's own duration. */
export const PRUNE_PAUSE_RATIO = 2;
/** A Prune call stops after this time and leaves the rest to the next call. Below the default deadline of a call. */
export const PRUNE_CALL_MS = 5000;

/** Paces the chunks of one Prune call: pauses between chunks while checks arrive, and ends the call before the caller's deadline. */
export class PrunePace {
  readonly #clock: Clock;
  /** The number of checks so far. */
  readonly #countChecks: () => number;
  readonly #endsAt: number;
  #chunkBegan: number;
  #countBefore: number;

  constructor(clock: Clock, countChecks: () => number) {
    this.#clock = clock;
    this.#countChecks = countChecks;
    this.#chunkBegan = clock.monotonic();
    this.#endsAt = this.#chunkBegan + PRUNE_CALL_MS;
    this.#countBefore = countChecks();
  }

  /** Pauses after a chunk if there were checks meanwhile. Resolves to false when the call should end. */
  async pause(): Promise<boolean> {
    if (this.#countChecks() !== this.#countBefore) {
      const took = this.#clock.monotonic() - this.#chunkBegan;
      await new Promise<void>((resolve) => this.#clock.schedule(took * PRUNE_PAUSE_RATIO, resolve));
    }
    this.#chunkBegan = this.#clock.monotonic();
    this.#countBefore = this.#countChecks();
    return this.#chunkBegan < this.#endsAt;
  }
}
