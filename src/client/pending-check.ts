import type { Abandonable, Check, Freshness } from "./check.ts";
import { ClientError } from "./client-error.ts";
import { onAbort } from "./on-abort.ts";

/** Receives the results of checks. */
export interface CheckSink {
  answered(index: number, isBlacklisted: boolean): void;
  failed(index: number, error: ClientError): void;
}

/** Behaviour shared by all checks of a client. */
export interface CheckSettling {
  /** Called with an answer; a positive may be remembered. */
  onAnswer(check: Check, isBlacklisted: boolean, source: "copy" | "service"): void;
  /** The answer that replaces an error; undefined: reject with the error. */
  onFailure(check: Check, error: ClientError): boolean | undefined;
}

export interface PendingCheckSetup {
  readonly jti: string;
  readonly freshness: Freshness;
  readonly deadline: number;
  readonly expiresAt: number | undefined;
  readonly failFast: boolean;
  readonly signal: AbortSignal | undefined;
  readonly sink: CheckSink;
  /** The index of this check in its sink. */
  readonly index: number;
}

/** A check in progress: settled once, by an answer, an error, or its caller's signal. */
export class PendingCheck implements Check {
  readonly jti: string;
  readonly freshness: Freshness;
  readonly deadline: number;
  readonly expiresAt: number | undefined;
  readonly failFast: boolean;
  group: Abandonable | undefined = undefined;
  isSettled = false;
  readonly #settling: CheckSettling;
  readonly #sink: CheckSink;
  readonly #index: number;
  readonly #unlisten: () => void;

  constructor(
    settling: CheckSettling,
    { jti, freshness, deadline, expiresAt, failFast, signal, sink, index }: PendingCheckSetup,
  ) {
    this.jti = jti;
    this.freshness = freshness;
    this.deadline = deadline;
    this.expiresAt = expiresAt;
    this.failFast = failFast;
    this.#settling = settling;
    this.#sink = sink;
    this.#index = index;
    this.#unlisten = onAbort(signal, () => this.giveUp());
  }

  answer(isBlacklisted: boolean, source: "copy" | "service"): void {
    if (this.isSettled) return;
    this.#settle();
    this.#settling.onAnswer(this, isBlacklisted, source);
    this.#sink.answered(this.#index, isBlacklisted);
  }

  fail(error: ClientError): void {
    if (this.isSettled) return;
    this.#settle();
    const instead = this.#settling.onFailure(this, error);
    if (instead === undefined) this.#sink.failed(this.#index, error);
    else this.#sink.answered(this.#index, instead);
  }

  /** Called when the caller aborts the check; the unavailability policy does not apply. */
  giveUp(): void {
    if (this.isSettled) return;
    this.#settle();
    this.group?.abandoned(this);
    this.#sink.failed(this.#index, abandonedError());
  }

  #settle(): void {
    this.isSettled = true;
    this.#unlisten();
  }
}

export function abandonedError(): ClientError {
  return new ClientError("CANCELLED", "the check was given up by its caller");
}

/** The promise of one check. */
export class SingleSink implements CheckSink {
  readonly promise: Promise<boolean>;
  #resolve: (answer: boolean) => void = () => {};
  #reject: (error: ClientError) => void = () => {};

  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  answered(_index: number, isBlacklisted: boolean): void {
    this.#resolve(isBlacklisted);
  }

  failed(_index: number, error: ClientError): void {
    this.#reject(error);
  }
}

/** One promise for many checks: resolves to all answers, or rejects with the first error. */
export class ManySink implements CheckSink {
  readonly promise: Promise<boolean[]>;
  readonly #answers: boolean[];
  #missing: number;
  #resolve: (answers: boolean[]) => void = () => {};
  #reject: (error: ClientError) => void = () => {};

  constructor(count: number) {
    // Fails closed: an answer that was never set reads as blacklisted.
    this.#answers = new Array<boolean>(count).fill(true);
    this.#missing = count;
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  answered(index: number, isBlacklisted: boolean): void {
    this.#answers[index] = isBlacklisted;
    this.#missing--;
    if (this.#missing === 0) this.#resolve(this.#answers);
  }

  failed(_index: number, error: ClientError): void {
    this.#reject(error);
  }
}
