import { FairQueue } from "../admission/fair-queue.ts";
import type { Clock } from "../time/clock.ts";

/** Snapshots sent concurrently; others are queued. Each has about 300 kB in flight, and competes with checks for the processor. */
export const MAX_SNAPSHOTS = 8;
/** Snapshots sent concurrently to one known caller, so that a slow caller leaves some to others. */
export const MAX_SNAPSHOTS_PER_CALLER = 6;
/** A snapshot whose client has read nothing for this long gives up its turn if others are queued. */
export const SNAPSHOT_TURN_MS = 2000;

/** A subscription that wants a snapshot. */
interface Receiver {
  /** The caller's name; empty if callers are not known. */
  readonly callerName: string;
}

/** Schedules snapshots: callers take turns, and one caller cannot have all the turns. */
export class SnapshotTurns<R extends Receiver> {
  readonly #clock: Pick<Clock, "monotonic">;
  /** The receivers that have a turn, and when each last asked, by the monotonic clock. */
  readonly #current = new Map<R, number>();
  readonly #waiting = new FairQueue<R>();
  #waitingCount = 0;

  constructor(clock: Pick<Clock, "monotonic">) {
    this.#clock = clock;
  }

  /** How many receivers have a turn, and how many wait for one. */
  get size(): { readonly inFlight: number; readonly waiting: number } {
    return { inFlight: this.#current.size, waiting: this.#waitingCount };
  }

  /** Whether the receiver has a turn, which lasts until {@link end}; queues it if not. */
  ask(receiver: R): boolean {
    const { callerName } = receiver;
    if (!this.#current.has(receiver)) {
      if (!this.#waiting.has(callerName, receiver)) {
        this.#waiting.add(callerName, receiver);
        this.#waitingCount++;
      }
      this.#fill();
    }
    if (!this.#current.has(receiver)) return false;
    this.#current.set(receiver, this.#clock.monotonic());
    return true;
  }

  /** Ends the receiver's turn, or its wait for one. True if its turn goes to a waiting receiver. */
  end(receiver: R): boolean {
    if (this.#waiting.delete(receiver.callerName, receiver)) this.#waitingCount--;
    return this.#current.delete(receiver) && this.#fill();
  }

  /** Receivers that have a turn and have not asked for `SNAPSHOT_TURN_MS`; none unless others wait. */
  idle(): R[] {
    if (this.#waitingCount === 0) return [];
    const before = this.#clock.monotonic() - SNAPSHOT_TURN_MS;
    return [...this.#current].flatMap(([receiver, askedAt]) => (askedAt <= before ? [receiver] : []));
  }

  /** Gives free turns to waiting receivers; true if there was one. */
  #fill(): boolean {
    let hasGiven = false;
    while (this.#current.size < MAX_SNAPSHOTS) {
      const next = this.#waiting.next(
        (name) => name === "" || this.#countOf(name) < MAX_SNAPSHOTS_PER_CALLER,
      );
      if (next === undefined) break;
      this.#waitingCount--;
      this.#current.set(next, this.#clock.monotonic());
      hasGiven = true;
    }
    return hasGiven;
  }

  #countOf(name: string): number {
    let count = 0;
    for (const { callerName } of this.#current.keys()) if (callerName === name) count++;
    return count;
  }
}
