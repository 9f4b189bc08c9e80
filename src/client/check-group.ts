import type { CallMetadata } from "./call-metadata.ts";
import type { Abandonable, Check } from "./check.ts";
import { ClientError } from "./client-error.ts";

/**
 * Checks that wait for the same event: the start of a call, its answer, or a proof. Together they cost one entry in {@link
 * Deadlines}, however many they are.
 */
export class CheckGroup implements Abandonable {
  checks: Check[] = [];
  /** The first and the last deadline of the checks, by the monotonic clock. */
  earliest = Number.POSITIVE_INFINITY;
  latest = 0;
  /** Once true, the order of the checks is fixed: it is that of the answers. */
  isUnderWay = false;
  /** Called when all checks of a call in flight have been abandoned. */
  onDeserted: (() => void) | undefined;
  /** The error of the last attempt, because of which the checks still wait. */
  lastError: ClientError | undefined;
  /** The metadata of the group's calls, taken when its first check was made. */
  metadata: CallMetadata | undefined;
  #abandoned = 0;
  readonly #onLeft: (() => void) | undefined;

  /** `onLeft` is called for each check that is abandoned before the group is sent. */
  constructor(onLeft?: () => void) {
    this.#onLeft = onLeft;
  }

  get length(): number {
    return this.checks.length;
  }

  add(check: Check): void {
    check.group = this;
    this.checks.push(check);
    if (check.deadline < this.earliest) this.earliest = check.deadline;
    if (check.deadline > this.latest) this.latest = check.deadline;
  }

  /** Takes over the checks of `other` and leaves it empty. */
  absorb(other: CheckGroup): void {
    for (const check of other.checks) this.add(check);
    other.checks = [];
    other.earliest = Number.POSITIVE_INFINITY;
  }

  abandoned(check: Check): void {
    if (this.isUnderWay) {
      this.#abandoned++;
      if (this.#abandoned === this.checks.length) this.onDeserted?.();
      return;
    }
    const index = this.checks.indexOf(check);
    const last = this.checks.pop();
    if (last !== undefined && last !== check) this.checks[index] = last;
    this.#onLeft?.();
  }

  /** Removes settled checks before the next attempt. */
  leaveOutSettled(): void {
    this.checks = this.checks.filter(({ isSettled }) => !isSettled);
    this.#abandoned = 0;
    this.earliest = Number.POSITIVE_INFINITY;
    this.latest = 0;
    for (const { deadline } of this.checks) {
      if (deadline < this.earliest) this.earliest = deadline;
      if (deadline > this.latest) this.latest = deadline;
    }
  }

  /** Fails every pending check. */
  fail(error: ClientError): void {
    for (const check of this.checks) if (!check.isSettled) check.fail(error);
  }

  /** Fails every pending check that is set to fail fast, if `outage` returns an error. */
  failFast(outage: () => ClientError | undefined): void {
    for (const check of this.checks) {
      if (!check.failFast || check.isSettled) continue;
      const error = outage();
      if (error === undefined) return;
      check.fail(error);
    }
  }

  /** Fails every pending check, and cancels the call. */
  close(error: ClientError): void {
    this.fail(error);
    this.onDeserted?.();
  }

  /** Fails the checks whose deadline is not after `now`, and finds the next deadline. */
  expire(now: number, error?: ClientError): void {
    if (now < this.earliest) return;
    const due: Check[] = [];
    let earliest = Number.POSITIVE_INFINITY;
    for (const check of this.checks) {
      if (check.isSettled) continue;
      if (check.deadline <= now) due.push(check);
      else if (check.deadline < earliest) earliest = check.deadline;
    }
    this.earliest = earliest;
    const told =
      error ?? new ClientError("DEADLINE_EXCEEDED", "no answer in time", { cause: this.lastError });
    for (const check of due) {
      check.fail(told);
      this.abandoned(check);
    }
  }
}
