import type { ClientError } from "./client-error.ts";

/** Receives the results of one or many checks; `index` is that of the check among them. */
export interface CheckSink {
  answered(index: number, isBlacklisted: boolean): void;
  failed(index: number, error: ClientError): void;
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
