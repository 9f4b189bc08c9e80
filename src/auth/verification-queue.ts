import { FairCapacity } from "../admission/fair-capacity.ts";
import { FairQueue } from "../admission/fair-queue.ts";
import { ServiceError } from "../errors.ts";

/** Maximum number of concurrent signature verifications of raw tokens. They run on libuv's four threads, which files and DNS look-ups need too. */
export const MAX_VERIFICATIONS = 2;
/** Maximum number of raw tokens queued for verification, in all requests: about four seconds of work. */
export const MAX_QUEUED_RAW_TOKENS = 10_000;

/** The caller on whose behalf tokens are verified. */
export interface VerificationCaller {
  /** True once the caller no longer waits for the result. */
  readonly isGone: boolean;
  readonly principal: { readonly name: string };
}

interface Job {
  readonly caller: VerificationCaller;
  run(): Promise<void>;
  reject(error: unknown): void;
}

/**
 * Verifications that wait: one begins per turn of the event loop, and few are in flight, so that other work continues in between. Callers
 * take turns, so that one with thousands of tokens does not delay the others.
 */
export class VerificationQueue {
  readonly #waiting = new FairQueue<Job>();
  readonly #capacity = new FairCapacity(MAX_QUEUED_RAW_TOKENS);
  #inFlight = 0;
  #isScheduled = false;

  /**
   * Reserves places for `count` tokens of one request while `work` runs. Throws OVERLOADED if too many tokens are queued, in total or for
   * this caller.
   */
  async reserve<T>(count: number, { principal }: VerificationCaller, work: () => Promise<T>): Promise<T> {
    const { name } = principal;
    const share = this.#capacity.take(name, count);
    if (share === undefined) {
      throw new ServiceError("OVERLOADED", "too many raw tokens are waiting to be verified");
    }
    try {
      return await work();
    } finally {
      this.#capacity.giveBack(share, name, count);
    }
  }

  /** Runs `work` when it is the caller's turn. Throws CANCELLED if the caller is gone by then. */
  run<T>(caller: VerificationCaller, work: () => T | Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const run = async () => {
        try {
          resolve(await work());
        } catch (error) {
          reject(error);
        }
      };
      this.#waiting.add(caller.principal.name, { caller, run, reject });
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#isScheduled || this.#inFlight >= MAX_VERIFICATIONS || this.#waiting.isEmpty) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      const job = this.#next();
      if (job !== undefined) {
        this.#inFlight++;
        void job.run().then(() => {
          this.#inFlight--;
          this.#schedule();
        });
      }
      this.#schedule();
    });
  }

  /** The next job whose caller still waits. */
  #next(): Job | undefined {
    for (let job = this.#waiting.next(); job !== undefined; job = this.#waiting.next()) {
      if (!job.caller.isGone) return job;
      job.reject(GONE);
    }
    return undefined;
  }
}

const GONE = new ServiceError("CANCELLED", "the call ended before its tokens were verified");
