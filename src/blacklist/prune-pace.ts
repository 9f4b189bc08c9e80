import type { Clock } from "../clock.ts";
import { PRUNE_CALL_MS, PRUNE_REST } from "../limits.ts";

/**
 * When one call of Prune does its next chunk: nobody waits for pruning, so while checks are asked it leaves most of the time to
 * them, and the call ends before its caller's patience does.
 */
export class PrunePace {
  readonly #clock: Clock;
  /** How many checks have been asked so far. */
  readonly #checks: () => number;
  readonly #endsAt: number;
  #chunkBegan: number;
  #checksBefore: number;

  constructor(clock: Clock, checks: () => number) {
    this.#clock = clock;
    this.#checks = checks;
    this.#chunkBegan = clock.monotonic();
    this.#endsAt = this.#chunkBegan + PRUNE_CALL_MS;
    this.#checksBefore = checks();
  }

  /** Rests after a chunk, if there is reason to. Resolves to false when the call has done enough. */
  async rest(): Promise<boolean> {
    if (this.#checks() !== this.#checksBefore) {
      const took = this.#clock.monotonic() - this.#chunkBegan;
      await new Promise<void>((resolve) => this.#clock.schedule(took * PRUNE_REST, resolve));
    }
    this.#chunkBegan = this.#clock.monotonic();
    this.#checksBefore = this.#checks();
    return this.#chunkBegan < this.#endsAt;
  }
}
