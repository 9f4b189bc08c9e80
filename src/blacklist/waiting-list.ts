import type { Caller } from "../caller.ts";
import type { Clock } from "../clock.ts";
import { ServiceError } from "../errors.ts";
import { SWEEP_INTERVAL_MS } from "../limits.ts";

/** A call that waits for the next batch. */
export interface Waiting {
  readonly caller: Caller;
  /** How much of the list's room it takes. */
  readonly size: number;
  reject(error: unknown): void;
}

/** Those who wait for the next batch, in order of arrival, within bounds. Whoever gives up leaves their place to others. */
export class WaitingList<W extends Waiting> {
  readonly #clock: Clock;
  readonly #room: number;
  #waiting: W[] = [];
  #taken = 0;
  #sweptAt = Number.NEGATIVE_INFINITY;

  constructor(options: { clock: Clock; room: number }) {
    this.#clock = options.clock;
    this.#room = options.room;
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  /** False, and nothing added, when there is no room. */
  add(waiting: W): boolean {
    if (this.#taken + waiting.size > this.#room) this.#makeRoom();
    if (this.#taken + waiting.size > this.#room) return false;
    this.#taken += waiting.size;
    this.#waiting.push(waiting);
    return true;
  }

  /** Takes off the list, from its front, all that still fit in one batch; the first always does. */
  take(fits: (waiting: W) => boolean): W[] {
    this.#dropGone();
    let count = 0;
    for (const waiting of this.#waiting) {
      if (!fits(waiting) && count > 0) break;
      this.#taken -= waiting.size;
      count++;
    }
    return this.#waiting.splice(0, count);
  }

  #makeRoom(): void {
    // A storm of refusals must not search the whole list each time.
    if (this.#clock.monotonic() - this.#sweptAt < SWEEP_INTERVAL_MS) return;
    this.#sweptAt = this.#clock.monotonic();
    this.#dropGone();
  }

  #dropGone(): void {
    this.#waiting = this.#waiting.filter((waiting) => {
      if (!waiting.caller.gone) return true;
      this.#taken -= waiting.size;
      waiting.reject(GONE);
      return false;
    });
  }
}

/** For a call that was dropped before anything was done for it; its caller has had an answer already. */
export const GONE = new ServiceError("CANCELLED", "the caller gave up before its turn came");
