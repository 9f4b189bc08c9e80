import { FairCapacity } from "../admission/fair-capacity.ts";
import type { Caller } from "../caller.ts";
import type { Jti } from "../entry.ts";
import { ServiceError } from "../errors.ts";
import { MAX_QUEUED_JTIS } from "../limits.ts";
import type { ClockBounds } from "../time/clock-bounds.ts";
import type { CheckAnswer, CheckService, Freshness } from "./check-service.ts";
import type { Follower } from "./follower.ts";
import { type Observer, UNOBSERVED } from "./observer.ts";
import { ABANDONED } from "./request-queue.ts";
import { type EntryLookup, isBlacklisted, rejectRevokedCaller, verdictsOf } from "./verdicts.ts";

/** The cost of answering one call, and of each jti in it, in microseconds. */
const CALL_MICROS = 50;
const JTI_MICROS = 0.5;

interface Options {
  readonly follower: Follower;
  /** Answers while the index cannot. */
  readonly fallback: CheckService;
  readonly clocks: ClockBounds;
  readonly leewayMs: number;
  readonly observer?: Observer;
}

/**
 * Answers from the index: positives at once, negatives once the follower has proven the index as fresh as requested. Without a
 * complete index, every check goes to the database.
 */
export class IndexedChecks implements CheckService {
  readonly #options: Options;
  readonly #observer: Observer;
  readonly #queued = new FairCapacity(MAX_QUEUED_JTIS);

  constructor(options: Options) {
    this.#options = options;
    this.#observer = options.observer ?? UNOBSERVED;
  }

  check(jtis: readonly Jti[], freshness: Freshness, caller: Caller): CheckAnswer | Promise<CheckAnswer> {
    const { follower } = this.#options;
    if (!follower.isComplete) return this.#withoutIndex(jtis, freshness, caller);
    const knowledge = this.#knowledge();
    if (this.#isFresh(freshness) || this.#needsNoProof(jtis, { knowledge, caller })) {
      return verdictsOf(jtis, knowledge, { caller });
    }
    if (freshness.kind === "at-least" && follower.phase === "following") {
      // Only the database can tell whether the requested revision belongs to this history.
      return this.#askDatabase(jtis, freshness, caller);
    }
    return this.#whenProven(jtis, freshness, caller);
  }

  /** A blacklisted token stays blacklisted, so positives need no proof. That the caller's own token is not blacklisted needs proof. */
  #needsNoProof(
    jtis: readonly Jti[],
    { knowledge, caller }: { knowledge: EntryLookup; caller: Caller },
  ): boolean {
    return caller.principal?.jti === undefined && jtis.every((jti) => isBlacklisted(jti, knowledge));
  }

  #isFresh(freshness: Freshness): boolean {
    const { follower } = this.#options;
    if (freshness.kind === "max-staleness") return freshness.ms > 0 && follower.staleness <= freshness.ms;
    return freshness.kind === "at-least" && follower.reflects(freshness.revision);
  }

  #withoutIndex(
    jtis: readonly Jti[],
    freshness: Freshness,
    caller: Caller,
  ): CheckAnswer | Promise<CheckAnswer> {
    this.#observer.fellBack("no-index");
    return this.#options.fallback.check(jtis, freshness, caller);
  }

  /**
   * Merges the database's answer with the index, which remembers entries that a restore has lost and may answer what the database
   * cannot.
   */
  async #askDatabase(jtis: readonly Jti[], freshness: Freshness, caller: Caller): Promise<CheckAnswer> {
    this.#observer.fellBack("unknown-revision");
    try {
      const { verdicts, revision } = await this.#options.fallback.check(jtis, freshness, caller);
      const knowledge = this.#knowledge();
      rejectRevokedCaller(caller, knowledge);
      return {
        verdicts: jtis.map((jti, index) =>
          isBlacklisted(jti, knowledge) ? "blacklisted" : (verdicts[index] ?? "unknown"),
        ),
        revision,
      };
    } catch (error) {
      // A rejected caller is told no verdicts, not even certain ones.
      if (error instanceof ServiceError && error.reason === "UNAUTHENTICATED") throw error;
      return verdictsOf(jtis, this.#knowledge(), { caller, doubt: error });
    }
  }

  #whenProven(jtis: readonly Jti[], freshness: Freshness, caller: Caller): Promise<CheckAnswer> {
    const name = caller.principal?.name ?? "";
    const part = this.#queued.take(name, jtis.length);
    if (part === undefined)
      throw new ServiceError("OVERLOADED", "too many checks are waiting to be answered");
    caller.trace?.waits("freshness");
    return new Promise((resolve, reject) => {
      const settle = (doubt?: unknown): void => {
        this.#queued.giveBack(part, name, jtis.length);
        try {
          resolve(this.#conclude(jtis, { freshness, caller, doubt }));
        } catch (error) {
          reject(error);
        }
      };
      this.#options.follower.prove({
        cost: CALL_MICROS + jtis.length * JTI_MICROS,
        caller,
        proven: () => settle(),
        failed: settle,
      });
    });
  }

  #conclude(
    jtis: readonly Jti[],
    { freshness, caller, doubt }: { freshness: Freshness; caller: Caller; doubt: unknown },
  ): CheckAnswer | Promise<CheckAnswer> {
    if (caller.gone) throw ABANDONED;
    const { follower } = this.#options;
    // The index overflowed meanwhile: an absent entry proves nothing.
    if (!follower.isComplete) return this.#withoutIndex(jtis, freshness, caller);
    return verdictsOf(jtis, this.#knowledge(), { caller, doubt });
  }

  #knowledge(): EntryLookup {
    const { clocks, follower, leewayMs } = this.#options;
    return {
      expiryOf: (jti) => follower.expiryOf(jti),
      now: clocks.earliest(),
      leewayMs,
      revision: follower.applied,
    };
  }
}
