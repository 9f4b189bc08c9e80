import type { Caller } from "../caller.ts";
import type { Jti } from "../entry.ts";
import type { Revision } from "../revision.ts";

/** How fresh an answer has to be. Positives are exempt: an entry only ever leaves by expiring. */
export type Freshness =
  /** Reflects every commit acknowledged anywhere before the question was asked. */
  | { readonly kind: "linearizable" }
  /** Reflects at least this revision. */
  | { readonly kind: "at-least"; readonly revision: Revision }
  /** Was true at some time within the last so many milliseconds; 0 means linearizable. */
  | { readonly kind: "max-staleness"; readonly ms: number };

export type Verdict = "blacklisted" | "not-blacklisted" | "unknown";

export interface CheckAnswer {
  /** One for each jti asked about, in order. */
  readonly verdicts: readonly Verdict[];
  readonly revision: Revision;
}

/**
 * What answers "is it blacklisted?". Throws UNAUTHENTICATED to a caller whose own token is. Throws rather than guess: STORE_UNAVAILABLE or NOT_FRESH when it cannot be as fresh as
 * asked, REVISION_LOST when the named revision is not in the database. A batch that holds a known positive is
 * answered all the same, with "unknown" for what could not be vouched for; "unknown" occurs nowhere else. An answer that
 * needs no waiting is returned as it is: promises are what the hot path would spend most of its time on.
 */
export interface Checks {
  check(jtis: readonly Jti[], freshness: Freshness, caller: Caller): CheckAnswer | Promise<CheckAnswer>;
}
