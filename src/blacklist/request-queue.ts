import { FairCapacity } from "../admission/fair-capacity.ts";
import type { Caller } from "../caller.ts";
import { ServiceError } from "../errors.ts";
import type { Clock } from "../time/clock.ts";

/** How often a full queue is searched for abandoned calls. */
const SWEEP_INTERVAL_MS = 10;

export interface QueuedRequest {
  readonly caller: Caller;
  /** How much of the queue's capacity it takes. */
  readonly size: number;
  reject(error: unknown): void;
}

/** Calls waiting for the next batch, in order of arrival, with bounds in total and per caller. Abandoned calls free their capacity. */
export class RequestQueue<Request extends QueuedRequest> {
  readonly #clock: Clock;
  readonly #capacity: FairCapacity;
  #waiting: Request[] = [];
  /** Calls whose capacity was taken from the part that is shared fairly among callers, see {@link FairCapacity}. */
  readonly #own = new Set<Request>();
  #sweptAt = Number.NEGATIVE_INFINITY;

  constructor(options: { clock: Clock; capacity: number }) {
    this.#clock = options.clock;
    this.#capacity = new FairCapacity(options.capacity);
  }

  /** Returns false, and adds nothing, when the queue is full or the caller has its share of it. */
  add(waiting: Request): boolean {
    const name = nameOf(waiting);
    let takenFrom = this.#capacity.take(name, waiting.size);
    if (takenFrom === undefined && this.#dropGoneNow()) takenFrom = this.#capacity.take(name, waiting.size);
    if (takenFrom === undefined) return false;
    if (takenFrom === "own") this.#own.add(waiting);
    this.#waiting.push(waiting);
    return true;
  }

  /** Removes from the front of the queue all calls that fit into one batch, at least one; undefined if no call waits. */
  take(fits: (waiting: Request) => boolean): Request[] | undefined {
    this.#dropGone();
    let count = 0;
    for (const waiting of this.#waiting) {
      if (!fits(waiting) && count > 0) break;
      this.#giveBack(waiting);
      count++;
    }
    return count === 0 ? undefined : this.#waiting.splice(0, count);
  }

  /** Drops abandoned calls; returns false, and does nothing, if that was done recently. */
  #dropGoneNow(): boolean {
    // A burst of rejections must not search the whole queue each time.
    if (this.#clock.monotonic() - this.#sweptAt < SWEEP_INTERVAL_MS) return false;
    this.#sweptAt = this.#clock.monotonic();
    this.#dropGone();
    return true;
  }

  #giveBack(waiting: Request): void {
    this.#capacity.giveBack(this.#own.delete(waiting) ? "own" : "common", nameOf(waiting), waiting.size);
  }

  #dropGone(): void {
    this.#waiting = this.#waiting.filter((waiting) => {
      if (!waiting.caller.isGone) return true;
      this.#giveBack(waiting);
      waiting.reject(ABANDONED);
      return false;
    });
  }
}

function nameOf({ caller }: QueuedRequest): string {
  return caller.principal?.name ?? "";
}

/** Rejects a call that was dropped before any work was done for it. Its caller has ended it already. */
export const ABANDONED = new ServiceError("CANCELLED", "the caller gave up before its turn came");
