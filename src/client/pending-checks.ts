import { clampedToTimer } from "../time/clock.ts";
import type { CheckOptions } from "./blacklist-client.ts";
import type { CallMetadata } from "./call-metadata.ts";
import type { Freshness, TokenInput } from "./checked-tokens.ts";
import { aborted, ClientError } from "./client-error.ts";
import { onAbort } from "./on-abort.ts";
import { toEpochMs } from "./option-problems.ts";

/** Receives the results of one or many checks; `index` is the index of the check among them. */
export interface CheckSink {
  answered(index: number, isBlacklisted: boolean): void;
  failed(error: ClientError): void;
}

/** What a client does with the results of all checks, before their sinks receive them. */
export interface CheckHooks {
  /** The value of {@link CheckOptions.failFast} for checks that do not set it. */
  readonly failFast: boolean;
  /** Called with an answer; a positive may be remembered. */
  onAnswer(check: PendingCheck, isBlacklisted: boolean, source: "copy" | "service"): void;
  /** The answer that replaces an error; undefined: reject with the error. */
  onFailure(check: PendingCheck, error: ClientError): boolean | undefined;
}

export interface PendingCheckSetup {
  readonly token: TokenInput;
  /** Valid options. */
  readonly options: CheckOptions;
  /** When the caller's timeout ends, by the monotonic clock. */
  readonly deadline: number;
  readonly sink: CheckSink;
  /** The index of this check in its sink. */
  readonly index: number;
}

/** A check in progress: settled once, by an answer, an error, or its caller's signal. */
export class PendingCheck {
  readonly token: TokenInput;
  readonly freshness: Freshness;
  readonly deadline: number;
  /** The token's expiry in milliseconds since 1970, if the caller knows it. */
  readonly expiresAt: number | undefined;
  /** Whether it fails at once while the service answers no checks. */
  readonly failFast: boolean;
  /** The group in which it waits; set by the group. */
  group: CheckGroup | undefined = undefined;
  /** Whether it has been answered, has failed or was abandoned. A check is settled once. */
  isSettled = false;
  readonly #hooks: CheckHooks;
  readonly #sink: CheckSink;
  readonly #index: number;
  readonly #unlisten: () => void;

  constructor(hooks: CheckHooks, { token, options, deadline, sink, index }: PendingCheckSetup) {
    const { expiresAt, failFast = hooks.failFast, signal } = options;
    this.token = token;
    this.freshness = freshnessOf(options);
    this.deadline = deadline;
    this.expiresAt = expiresAt === undefined ? undefined : toEpochMs(expiresAt);
    this.failFast = failFast;
    this.#hooks = hooks;
    this.#sink = sink;
    this.#index = index;
    this.#unlisten = onAbort(signal, () => this.abandon());
  }

  answer(isBlacklisted: boolean, source: "copy" | "service"): void {
    if (this.isSettled) return;
    this.#settle();
    this.#hooks.onAnswer(this, isBlacklisted, source);
    this.#sink.answered(this.#index, isBlacklisted);
  }

  fail(error: ClientError): void {
    if (this.isSettled) return;
    this.#settle();
    const replacement = this.#hooks.onFailure(this, error);
    if (replacement === undefined) this.#sink.failed(error);
    else this.#sink.answered(this.#index, replacement);
  }

  /** Called when the caller aborts the check. `onFailure` is not asked for a replacement. */
  abandon(): void {
    if (this.isSettled) return;
    this.#settle();
    this.group?.onAbandoned(this);
    this.#sink.failed(aborted("check"));
  }

  #settle(): void {
    this.isSettled = true;
    this.#unlisten();
  }
}

const FULLY_FRESH: Freshness = {};

function freshnessOf({ maxStalenessMs, atLeastRevision }: CheckOptions): Freshness {
  if (atLeastRevision !== undefined) return { atLeastRevision };
  // Rounded down: an answer is never staler than requested, and less than a millisecond counts as fully fresh.
  const wholeMs = clampedToTimer(Math.floor(maxStalenessMs ?? 0));
  return wholeMs === 0 ? FULLY_FRESH : { maxStalenessMs: wholeMs };
}

/**
 * Checks that wait for the same event: the start of a call, its answer, or a proof. Their deadlines are watched together, so they need
 * only one timer, however many they are.
 */
export class CheckGroup {
  checks: PendingCheck[] = [];
  /** The first and the last deadline of the checks, by the monotonic clock. */
  earliestDeadline = Number.POSITIVE_INFINITY;
  latestDeadline = 0;
  /** Whether abandoned checks stay in `checks`. Required once they are sent: the answers have the order of `checks`. */
  keepsAbandoned = false;
  /** Cancels the call in flight. Called once all its checks have been abandoned or have expired, and by {@link close}. */
  onAllAbandoned: (() => void) | undefined;
  /** The error of the last attempt, after which the checks wait for another attempt. */
  lastError: ClientError | undefined;
  /** The metadata of the group's calls, taken when its first check was made. */
  metadata: CallMetadata | undefined;
  #abandoned = 0;
  readonly #onRemoved: (() => void) | undefined;

  /** `onRemoved` is called for each check that is abandoned before the group is sent. */
  constructor(onRemoved?: () => void) {
    this.#onRemoved = onRemoved;
  }

  get length(): number {
    return this.checks.length;
  }

  add(check: PendingCheck): void {
    check.group = this;
    this.checks.push(check);
    if (check.deadline < this.earliestDeadline) this.earliestDeadline = check.deadline;
    if (check.deadline > this.latestDeadline) this.latestDeadline = check.deadline;
  }

  /** Takes over the checks of `other` and leaves it empty. */
  absorb(other: CheckGroup): void {
    for (const check of other.checks) this.add(check);
    other.checks = [];
    other.earliestDeadline = Number.POSITIVE_INFINITY;
  }

  /** Called when `check` has been settled by its deadline or its caller's signal. */
  onAbandoned(check: PendingCheck): void {
    if (this.keepsAbandoned) {
      this.#abandoned++;
      if (this.#abandoned === this.checks.length) this.onAllAbandoned?.();
      return;
    }
    const index = this.checks.indexOf(check);
    const last = this.checks.pop();
    if (last !== undefined && last !== check) this.checks[index] = last;
    this.#onRemoved?.();
  }

  /** Removes settled checks, so that the next attempt does not repeat them. Returns how many are left. */
  removeSettled(): number {
    this.checks = this.checks.filter(({ isSettled }) => !isSettled);
    this.#abandoned = 0;
    this.earliestDeadline = Number.POSITIVE_INFINITY;
    this.latestDeadline = 0;
    for (const { deadline } of this.checks) {
      if (deadline < this.earliestDeadline) this.earliestDeadline = deadline;
      if (deadline > this.latestDeadline) this.latestDeadline = deadline;
    }
    return this.checks.length;
  }

  /** Fails every pending check. */
  fail(error: ClientError): void {
    for (const check of this.checks) if (!check.isSettled) check.fail(error);
  }

  /** Fails every pending check that is set to fail fast, if `outageError` returns an error. */
  failFast(outageError: () => ClientError | undefined): void {
    for (const check of this.checks) {
      if (!check.failFast || check.isSettled) continue;
      const error = outageError();
      if (error === undefined) return;
      check.fail(error);
    }
  }

  /** Fails every pending check, and cancels the call. */
  close(error: ClientError): void {
    this.fail(error);
    this.onAllAbandoned?.();
  }

  /** Fails the checks whose deadline is not after `now`, with `error` (absent: DEADLINE_EXCEEDED), and finds the next deadline. */
  expire(now: number, error?: ClientError): void {
    if (now < this.earliestDeadline) return;
    const due: PendingCheck[] = [];
    let earliest = Number.POSITIVE_INFINITY;
    for (const check of this.checks) {
      if (check.isSettled) continue;
      if (check.deadline <= now) due.push(check);
      else if (check.deadline < earliest) earliest = check.deadline;
    }
    this.earliestDeadline = earliest;
    const failure =
      error ?? new ClientError("DEADLINE_EXCEEDED", "no answer in time", { cause: this.lastError });
    for (const check of due) {
      check.fail(failure);
      this.onAbandoned(check);
    }
  }
}
