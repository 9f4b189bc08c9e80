import type { CallMetadata } from "./call-metadata.ts";
import type { Abandonable, Check } from "./check.ts";
import { ClientError } from "./client-error.ts";

/**
 * Checks that wait for the same thing: a call to begin, its answer, or proof. Together they cost one entry in
 * {@link Deadlines}, however many they are.
 */
export class CheckGroup implements Abandonable {
  checks: Check[] = [];
  /** The first and the last deadline among them, by the monotonic clock. */
  earliest = Number.POSITIVE_INFINITY;
  latest = 0;
  /** Once the question is under way the positions of the checks are those of the answers. */
  isUnderWay = false;
  /** Called when nobody waits any more for a question that is under way. */
  onDeserted: (() => void) | undefined;
  /** Why they still wait: how the last attempt failed. */
  lastError: ClientError | undefined;
  /** What joins the metadata of its calls: the first of its checks was asked with it. */
  metadata: CallMetadata | undefined;
  #abandoned = 0;
  readonly #onLeft: (() => void) | undefined;

  /** `onLeft` is called for each check that gives up before the question is under way. */
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

  /** Takes over all of `other`, which is left behind. */
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

  /** Those that gave up have no part in what comes next. */
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

  /** Tells every check that waits. */
  fail(error: ClientError): void {
    for (const check of this.checks) if (!check.isSettled) check.fail(error);
  }

  /** Tells every check that does not wait for a service that is away, as far as `outage` says that it is. */
  failFast(outage: () => ClientError | undefined): void {
    for (const check of this.checks) {
      if (!check.failFast || check.isSettled) continue;
      const error = outage();
      if (error === undefined) return;
      check.fail(error);
    }
  }

  /** Tells every check that waits, and that nobody waits any more. */
  close(error: ClientError): void {
    this.fail(error);
    this.onDeserted?.();
  }

  /** Tells those whose deadline has come by `now`, and finds the next one. */
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
