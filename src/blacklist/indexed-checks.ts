import { FairCapacity } from "../admission/fair-capacity.ts";
import type { Caller } from "../caller.ts";
import { ServiceError } from "../errors.ts";
import { MAX_QUEUED_JTIS } from "../limits.ts";
import type { ClockBounds } from "../time/clock-bounds.ts";
import { isBlacklisted, type TokenIdentity } from "../token-identity.ts";
import {
  type Awaitable,
  type CheckAnswer,
  type CheckService,
  type CheckState,
  type Freshness,
  verdictsOf,
} from "./check-service.ts";
import type { Follower } from "./follower.ts";
import type { Observer } from "./observer.ts";
import { ABANDONED } from "./request-queue.ts";

/** The cost of answering one call, and of each token in it, in microseconds. */
const CALL_MICROS = 50;
const TOKEN_MICROS = 0.5;

const LINEARIZABLE: Freshness = { kind: "linearizable" };

interface PendingCheck {
  readonly tokens: readonly TokenIdentity[];
  readonly freshness: Freshness;
  readonly caller: Caller;
}

interface Options {
  readonly follower: Follower;
  /** Answers while the index cannot. */
  readonly fallback: CheckService;
  readonly clockBounds: ClockBounds;
  readonly leewayMs: number;
  readonly observer?: Observer;
}

/**
 * Answers from the index: positives at once, negatives once the follower has proven the index as fresh as requested. Without a
 * complete index, every check goes to the database.
 */
export class IndexedChecks implements CheckService {
  readonly #options: Options;
  /** Counts the tokens of checks that wait for a proof. */
  readonly #queued = new FairCapacity(MAX_QUEUED_JTIS);

  constructor(options: Options) {
    this.#options = options;
  }

  check(tokens: readonly TokenIdentity[], freshness: Freshness, caller: Caller): Awaitable<CheckAnswer> {
    if (!this.#options.follower.isComplete) return this.#withoutIndex({ tokens, freshness, caller });
    const state = this.#state();
    if (
      this.#isFresh(freshness) ||
      // Positives need no proof. A caller's own token that is not blacklisted is a negative, which needs one.
      (caller.principal?.token === undefined && tokens.every((token) => isBlacklisted(token, state)))
    ) {
      return verdictsOf(tokens, state, { caller });
    }
    return this.#whenProven({ tokens, freshness, caller });
  }

  #isFresh(freshness: Freshness): boolean {
    const { follower } = this.#options;
    if (freshness.kind === "max-staleness") return freshness.ms > 0 && follower.staleness <= freshness.ms;
    return freshness.kind === "at-least" && follower.reflects(freshness.revision);
  }

  #withoutIndex({ tokens, freshness, caller }: PendingCheck): Awaitable<CheckAnswer> {
    this.#options.observer?.fellBack("no-index");
    return this.#options.fallback.check(tokens, freshness, caller);
  }

  /** Only the database can tell whether a revision that was not read here belongs to its history. */
  async #askForRevision({ tokens, freshness, caller }: PendingCheck): Promise<CheckAnswer> {
    this.#options.observer?.fellBack("unknown-revision");
    try {
      await this.#options.fallback.check([], freshness, caller);
    } catch (unavailable) {
      // A caller whose own token is blacklisted gets no verdicts, not even positives.
      if (unavailable instanceof ServiceError && unavailable.reason === "UNAUTHENTICATED") throw unavailable;
      return this.#conclude({ tokens, freshness, caller }, unavailable);
    }
    // The database has the revision, so an index that is proven by a later read has it too.
    return this.#whenProven({ tokens, freshness: LINEARIZABLE, caller });
  }

  #whenProven(check: PendingCheck): Promise<CheckAnswer> {
    const { caller, tokens } = check;
    const name = caller.principal?.name ?? "";
    const takenFrom = this.#queued.take(name, tokens.length);
    if (takenFrom === undefined)
      throw new ServiceError("OVERLOADED", "too many checks are waiting to be answered");
    caller.trace?.waits("freshness");
    return new Promise((resolve, reject) => {
      const settle = (unavailable?: unknown): void => {
        this.#queued.giveBack(takenFrom, name, tokens.length);
        try {
          resolve(this.#conclude(check, unavailable));
        } catch (error) {
          reject(error);
        }
      };
      this.#options.follower.prove({
        cost: CALL_MICROS + tokens.length * TOKEN_MICROS,
        caller,
        proven: () => settle(),
        failed: settle,
      });
    });
  }

  /** The answer after a proof, or, if `unavailable` is the error that prevented one, without it. */
  #conclude(check: PendingCheck, unavailable: unknown): Awaitable<CheckAnswer> {
    const { caller, freshness, tokens } = check;
    if (caller.isGone) throw ABANDONED;
    const { follower } = this.#options;
    // The index has overflowed: an entry's absence from it proves nothing.
    if (!follower.isComplete) return this.#withoutIndex(check);
    const isProven = unavailable === undefined;
    if (isProven && freshness.kind === "at-least" && !follower.reflects(freshness.revision)) {
      return this.#askForRevision(check);
    }
    return verdictsOf(tokens, this.#state(), { caller, unavailable });
  }

  #state(): CheckState {
    const { clockBounds, follower, leewayMs } = this.#options;
    return { entries: follower.entries, now: clockBounds.earliest(), leewayMs, revision: follower.applied };
  }
}
