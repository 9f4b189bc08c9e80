import type { Caller } from "../caller.ts";
import type { Clock } from "../clock.ts";
import { ServiceError } from "../errors.ts";
import { FairRoom } from "../fair-room.ts";
import { SWEEP_INTERVAL_MS } from "../limits.ts";

/** A call that waits for the next batch. */
export interface Waiting {
  readonly caller: Caller;
  /** How much of the list's room it takes. */
  readonly size: number;
  reject(error: unknown): void;
}

/** Those who wait for the next batch, in order of arrival, within bounds, in all and of each caller. Whoever gives up leaves their place to others. */
export class WaitingList<W extends Waiting> {
  readonly #clock: Clock;
  readonly #room: FairRoom;
  #waiting: W[] = [];
  /** Those whose room is their caller's own part. */
  readonly #own = new Set<W>();
  #sweptAt = Number.NEGATIVE_INFINITY;

  constructor(options: { clock: Clock; room: number }) {
    this.#clock = options.clock;
    this.#room = new FairRoom(options.room);
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  /** False, and nothing added, when there is no room, or none left for this caller. */
  add(waiting: W): boolean {
    const name = nameOf(waiting);
    let part = this.#room.take(name, waiting.size);
    if (part === undefined && this.#makeRoom()) part = this.#room.take(name, waiting.size);
    if (part === undefined) return false;
    if (part === "own") this.#own.add(waiting);
    this.#waiting.push(waiting);
    return true;
  }

  /** Takes off the list, from its front, all that still fit in one batch; the first always does. */
  take(fits: (waiting: W) => boolean): W[] {
    this.#dropGone();
    let count = 0;
    for (const waiting of this.#waiting) {
      if (!fits(waiting) && count > 0) break;
      this.#leave(waiting);
      count++;
    }
    return this.#waiting.splice(0, count);
  }

  /** Whether it was searched for those who have gone. */
  #makeRoom(): boolean {
    // A storm of refusals must not search the whole list each time.
    if (this.#clock.monotonic() - this.#sweptAt < SWEEP_INTERVAL_MS) return false;
    this.#sweptAt = this.#clock.monotonic();
    this.#dropGone();
    return true;
  }

  #leave(waiting: W): void {
    this.#room.giveBack(this.#own.delete(waiting) ? "own" : "common", nameOf(waiting), waiting.size);
  }

  #dropGone(): void {
    this.#waiting = this.#waiting.filter((waiting) => {
      if (!waiting.caller.gone) return true;
      this.#leave(waiting);
      waiting.reject(GONE);
      return false;
    });
  }
}

function nameOf({ caller }: Waiting): string {
  return caller.principal?.name ?? "";
}

/** For a call that was dropped before anything was done for it; its caller has had an answer already. */
export const GONE = new ServiceError("CANCELLED", "the caller gave up before its turn came");
