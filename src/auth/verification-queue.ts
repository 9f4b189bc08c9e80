import { ServiceError } from "../errors.ts";
import { FairLine } from "../fair-line.ts";
import { FairRoom } from "../fair-room.ts";
import { MAX_QUEUED_RAW_TOKENS, MAX_VERIFICATIONS } from "../limits.ts";

/** The caller for whom something is verified. */
export interface VerificationCaller {
  /** True once nobody waits for the result. */
  readonly gone: boolean;
  readonly principal: { readonly name: string };
}

interface Job {
  readonly caller: VerificationCaller;
  run(): Promise<void>;
  reject(error: unknown): void;
}

/**
 * Runs verifications in slices: one is begun in each turn of the event loop, and few are under way at once, so that everything else goes on in
 * between. Principals take turns, so that one with thousands of tokens holds nobody up.
 */
export class VerificationQueue {
  readonly #waiting = new FairLine<Job>();
  readonly #room = new FairRoom(MAX_QUEUED_RAW_TOKENS);
  #underWay = 0;
  #isPlanned = false;

  /**
   * Keeps places for `count` tokens of one request while `work` goes on. Throws OVERLOADED where too many wait, in all or of this
   * principal.
   */
  async reserve<T>(count: number, { principal }: VerificationCaller, work: () => Promise<T>): Promise<T> {
    const { name } = principal;
    const part = this.#room.take(name, count);
    if (part === undefined) {
      throw new ServiceError("OVERLOADED", "too many raw tokens are waiting to be verified");
    }
    try {
      return await work();
    } finally {
      this.#room.giveBack(part, name, count);
    }
  }

  /** Runs `work` once it is the caller's turn. Throws CANCELLED where the caller has gone by then. */
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
      this.#plan();
    });
  }

  #plan(): void {
    if (this.#isPlanned || this.#underWay >= MAX_VERIFICATIONS || this.#waiting.isEmpty) return;
    this.#isPlanned = true;
    setImmediate(() => {
      this.#isPlanned = false;
      const job = this.#next();
      if (job !== undefined) {
        this.#underWay++;
        void job.run().then(() => {
          this.#underWay--;
          this.#plan();
        });
      }
      this.#plan();
    });
  }

  /** The next job for which anybody waits. */
  #next(): Job | undefined {
    for (let job = this.#waiting.next(); job !== undefined; job = this.#waiting.next()) {
      if (!job.caller.gone) return job;
      job.reject(GONE);
    }
    return undefined;
  }
}

const GONE = new ServiceError("CANCELLED", "the caller gave up before its tokens were verified");
