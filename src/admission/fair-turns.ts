import { ServiceError } from "../errors.ts";
import { FairQueue } from "./fair-queue.ts";

/** The caller on whose behalf work is done. */
export interface TurnCaller {
  /** True once the caller no longer waits for the result. */
  readonly isGone: boolean;
  readonly principal: { readonly name: string };
}

interface Job {
  readonly caller: TurnCaller;
  run(): Promise<void>;
  reject(error: unknown): void;
}

interface Options {
  /** The maximum of jobs in progress. */
  readonly maxInProgress: number;
  /** The maximum of jobs in progress for one caller; absent: no further limit. It does not apply to callers without a name. */
  readonly maxPerCaller?: number;
}

/**
 * Runs jobs, a few at a time. Callers take turns, so that a caller with thousands of jobs does not delay the others. One job begins per turn
 * of the event loop, so that other work continues in between.
 */
export class FairTurns {
  readonly #maxInProgress: number;
  readonly #maxPerCaller: number;
  readonly #waiting = new FairQueue<Job>();
  #inProgress = 0;
  /** The number of jobs in progress by the caller's name; only callers with such jobs. */
  readonly #ofCaller = new Map<string, number>();
  #isScheduled = false;

  constructor({ maxInProgress, maxPerCaller = maxInProgress }: Options) {
    this.#maxInProgress = maxInProgress;
    this.#maxPerCaller = maxPerCaller;
  }

  /** Runs `work` when it is the caller's turn. Throws CANCELLED if the caller is gone by then. */
  run<T>(caller: TurnCaller, work: () => T | Promise<T>): Promise<T> {
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
    if (this.#isScheduled || this.#inProgress >= this.#maxInProgress || this.#waiting.isEmpty) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      const job = this.#next();
      if (job === undefined) return;
      const { name } = job.caller.principal;
      this.#count(name, 1);
      void job.run().then(() => {
        this.#count(name, -1);
        this.#schedule();
      });
      this.#schedule();
    });
  }

  #count(name: string, change: 1 | -1): void {
    this.#inProgress += change;
    const count = (this.#ofCaller.get(name) ?? 0) + change;
    if (count > 0) this.#ofCaller.set(name, count);
    else this.#ofCaller.delete(name);
  }

  /** The next job whose caller still waits; undefined if there is none that may begin now. */
  #next(): Job | undefined {
    const mayBegin = (name: string) => name === "" || (this.#ofCaller.get(name) ?? 0) < this.#maxPerCaller;
    for (let job = this.#waiting.next(mayBegin); job !== undefined; job = this.#waiting.next(mayBegin)) {
      if (!job.caller.isGone) return job;
      job.reject(GONE);
    }
    return undefined;
  }
}

const GONE = new ServiceError("CANCELLED", "the call ended before its turn");
