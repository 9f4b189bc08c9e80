import type { Caller } from "../caller.ts";
import { unauthenticated } from "../errors.ts";
import type { Revision } from "../revision.ts";
import { type EntryLookup, isBlacklisted, type TokenIdentity } from "../token-identity.ts";

/** How fresh an answer must be. "blacklisted" is fresh enough whenever it was read: an entry is removed only once it has expired. */
export type Freshness =
  /** Reflects every commit acknowledged by any replica before the request. */
  | { readonly kind: "linearizable" }
  /** Reflects at least this revision. */
  | { readonly kind: "at-least"; readonly revision: Revision }
  /** Was true at some time within the last `ms` milliseconds; 0 means linearizable. */
  | { readonly kind: "max-staleness"; readonly ms: number };

export type Verdict = "blacklisted" | "not-blacklisted" | "unknown";

/** A result that is returned without a promise if it needs no waiting: promises would dominate the cost of the hot path. */
export type Awaitable<T> = T | Promise<T>;

export interface CheckAnswer {
  /** One verdict per token of the request, in order. */
  readonly verdicts: readonly Verdict[];
  /** The verdicts reflect every commit up to this one. */
  readonly revision: Revision;
}

/**
 * Answers whether tokens are blacklisted. Throws UNAUTHENTICATED when the caller's own token is blacklisted, STORE_UNAVAILABLE or
 * NOT_FRESH when the answer cannot be as fresh as requested, and REVISION_LOST when the requested revision is not in the database.
 * Instead of the last three errors, a request with a token known to be blacklisted is answered, with "unknown" for its other tokens.
 */
export interface CheckService {
  check(tokens: readonly TokenIdentity[], freshness: Freshness, caller: Caller): Awaitable<CheckAnswer>;
}

export interface CheckState extends EntryLookup {
  readonly revision: Revision;
}

/**
 * The verdicts from `state`. Throws UNAUTHENTICATED when the caller's own token is blacklisted. `unavailable` is the error that makes
 * negatives unavailable, if any: it is thrown unless a token is blacklisted, and the other tokens are then "unknown".
 */
export function verdictsOf(
  tokens: readonly TokenIdentity[],
  state: CheckState,
  { caller, unavailable }: { caller: Caller; unavailable?: unknown },
): CheckAnswer {
  rejectRevokedCaller(caller, state);
  const otherwise: Verdict = unavailable === undefined ? "not-blacklisted" : "unknown";
  let positives = 0;
  const verdicts = tokens.map((token): Verdict => {
    if (!isBlacklisted(token, state)) return otherwise;
    positives++;
    return "blacklisted";
  });
  if (unavailable !== undefined && positives === 0) throw unavailable;
  return { verdicts, revision: state.revision };
}

/** Throws UNAUTHENTICATED when the caller's own token is blacklisted, looked up with the same freshness as the tokens of the check. */
export function rejectRevokedCaller({ principal }: Caller, lookup: EntryLookup): void {
  const own = principal?.token;
  if (own !== undefined && isBlacklisted(own, lookup)) {
    throw unauthenticated("the caller's own token is blacklisted");
  }
}
