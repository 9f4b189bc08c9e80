import type { Clock } from "../time/clock.ts";
import type { CheckGroup } from "./pending-checks.ts";

/**
 * Fails checks whose deadlines have passed, with one timer for all groups: there are few groups, and each knows its earliest deadline. A timer
 * per check would cost more than its answer.
 */
export class Deadlines {
  readonly #clock: Clock;
  readonly #groups = new Set<CheckGroup>();
  /** When the timer fires, by the monotonic clock. */
  #timerAt = Number.POSITIVE_INFINITY;
  #cancelTimer = () => {};
  /** Resolves the promises of {@link idle}. */
  readonly #onIdle: (() => void)[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Watches `group` until {@link forget}. Call it again after adding checks to the group. */
  watch(group: CheckGroup): void {
    this.#groups.add(group);
    if (group.earliestDeadline < this.#timerAt) this.#setTimer(group.earliestDeadline);
  }

  forget(group: CheckGroup): void {
    this.#groups.delete(group);
    if (this.#groups.size === 0) this.#resolveIdle();
  }

  /** Resolves once no group is watched. */
  idle(): Promise<void> {
    if (this.#groups.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onIdle.push(resolve));
  }

  groups(): CheckGroup[] {
    return [...this.#groups];
  }

  close(): void {
    this.#cancelTimer();
    this.#groups.clear();
    this.#resolveIdle();
  }

  #resolveIdle(): void {
    if (this.#onIdle.length > 0) for (const resolve of this.#onIdle.splice(0)) resolve();
  }

  #setTimer(at: number): void {
    this.#cancelTimer();
    this.#timerAt = at;
    const delay = Math.max(1, Math.ceil(at - this.#clock.monotonic()));
    this.#cancelTimer = this.#clock.schedule(delay, () => this.#expire());
  }

  #expire(): void {
    const now = this.#clock.monotonic();
    this.#timerAt = Number.POSITIVE_INFINITY;
    let next = Number.POSITIVE_INFINITY;
    for (const group of this.groups()) {
      group.expire(now);
      if (group.earliestDeadline < next) next = group.earliestDeadline;
    }
    if (next < this.#timerAt) this.#setTimer(next);
  }
}
