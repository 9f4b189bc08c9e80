import { FairCapacity } from "../admission/fair-capacity.ts";
import { FairTurns, type TurnCaller } from "../admission/fair-turns.ts";
import { ServiceError } from "../errors.ts";

/** Maximum number of concurrent signature verifications of raw tokens. They run on libuv's four threads, which reads of files and DNS look-ups use too. */
export const MAX_VERIFICATIONS = 2;
/** Maximum number of raw tokens queued for verification, in all requests: about four seconds of work. */
export const MAX_QUEUED_RAW_TOKENS = 10_000;

/** Bounds the raw tokens that wait for verification, and verifies them in turns, see {@link FairTurns}. */
export class VerificationQueue {
  readonly #turns = new FairTurns({ maxInProgress: MAX_VERIFICATIONS });
  readonly #capacity = new FairCapacity(MAX_QUEUED_RAW_TOKENS);

  /**
   * Counts `count` tokens of one request as queued while `work` runs. Throws OVERLOADED if too many tokens are queued, in total or for this
   * caller.
   */
  async reserve<T>(count: number, { principal }: TurnCaller, work: () => Promise<T>): Promise<T> {
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

  /** As {@link FairTurns.run}. */
  run<T>(caller: TurnCaller, work: () => T | Promise<T>): Promise<T> {
    return this.#turns.run(caller, work);
  }
}
