import { FairCapacity } from "../admission/fair-capacity.ts";
import type { Caller } from "../caller.ts";
import { ServiceError } from "../errors.ts";
import type { Clock } from "../time/clock.ts";

/** Interval at which a full queue is searched for calls that are no longer awaited. */
const SWEEP_INTERVAL_MS = 10;

/** A call that waits for the next batch. */
export interface QueuedRequest {
  readonly caller: Caller;
  /** How much of the list's room the call takes. */
  readonly size: number;
  reject(error: unknown): void;
}

/** Calls waiting for the next batch, in order of arrival, with bounds in total and per caller. Abandoned calls free their room. */
export class RequestQueue<W extends QueuedRequest> {
  readonly #clock: Clock;
  readonly #capacity: FairCapacity;
  #waiting: W[] = [];
  /** Calls whose room comes from their caller's own share. */
  readonly #own = new Set<W>();
  #sweptAt = Number.NEGATIVE_INFINITY;

  constructor(options: { clock: Clock; capacity: number }) {
    this.#clock = options.clock;
    this.#capacity = new FairCapacity(options.capacity);
  }

  /** Returns false, and adds nothing, when there is no room in total or for this caller. */
  add(waiting: W): boolean {
    const name = nameOf(waiting);
    let share = this.#capacity.take(name, waiting.size);
    if (share === undefined && this.#makeRoom()) share = this.#capacity.take(name, waiting.size);
    if (share === undefined) return false;
    if (share === "own") this.#own.add(waiting);
    this.#waiting.push(waiting);
    return true;
  }

  /** Removes from the front of the list all calls that fit into one batch, at least one; undefined if no call waits. */
  take(fits: (waiting: W) => boolean): W[] | undefined {
    this.#dropGone();
    let count = 0;
    for (const waiting of this.#waiting) {
      if (!fits(waiting) && count > 0) break;
      this.#leave(waiting);
      count++;
    }
    return count === 0 ? undefined : this.#waiting.splice(0, count);
  }

  /** Searches for abandoned calls; false if it searched recently. */
  #makeRoom(): boolean {
    // A burst of rejections must not search the whole list each time.
    if (this.#clock.monotonic() - this.#sweptAt < SWEEP_INTERVAL_MS) return false;
    this.#sweptAt = this.#clock.monotonic();
    this.#dropGone();
    return true;
  }

  #leave(waiting: W): void {
    this.#capacity.giveBack(this.#own.delete(waiting) ? "own" : "common", nameOf(waiting), waiting.size);
  }

  #dropGone(): void {
    this.#waiting = this.#waiting.filter((waiting) => {
      if (!waiting.caller.isGone) return true;
      this.#leave(waiting);
      waiting.reject(ABANDONED);
      return false;
    });
  }
}

function nameOf({ caller }: QueuedRequest): string {
  return caller.principal?.name ?? "";
}

/** Rejects a call that was dropped before any work was done for it; the caller has ended the call already. */
export const ABANDONED = new ServiceError("CANCELLED", "the caller gave up before its turn came");
