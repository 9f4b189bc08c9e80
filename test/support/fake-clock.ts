import type { EpochMs } from "../../src/entry.ts";
import type { Clock } from "../../src/time/clock.ts";

interface Timer {
  readonly dueAt: number;
  readonly callback: () => void;
}

/** A clock that stands still until a test moves it. */
export class FakeClock implements Clock {
  #now: number;
  #monotonic = 0;
  readonly #timers = new Set<Timer>();

  constructor(now = Date.UTC(2030, 0, 1)) {
    this.#now = now;
  }

  now(): EpochMs {
    return this.#now as EpochMs;
  }

  monotonic(): number {
    return this.#monotonic;
  }

  schedule(delayMs: number, callback: () => void): () => void {
    const timer = { dueAt: this.#monotonic + Math.max(0, delayMs), callback };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }

  /** How many timers have neither run nor been taken back. */
  get pendingTimers(): number {
    return this.#timers.size;
  }

  /** Lets time pass: what falls due runs in order, at its own instant, also when it was scheduled on the way. */
  advance(ms: number): void {
    const until = this.#monotonic + ms;
    for (let next = this.#nextDue(until); next !== undefined; next = this.#nextDue(until)) {
      this.#timers.delete(next);
      this.#moveTo(Math.max(next.dueAt, this.#monotonic));
      next.callback();
    }
    this.#moveTo(until);
  }

  /** The wall clock is set, as an administrator or NTP does; timers and monotonic time do not notice. */
  jumpTo(now: number): void {
    this.#now = now;
  }

  #nextDue(until: number): Timer | undefined {
    let next: Timer | undefined;
    for (const timer of this.#timers) {
      if (timer.dueAt <= until && (next === undefined || timer.dueAt < next.dueAt)) next = timer;
    }
    return next;
  }

  #moveTo(monotonic: number): void {
    this.#now += monotonic - this.#monotonic;
    this.#monotonic = monotonic;
  }
}
