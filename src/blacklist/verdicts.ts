import type { Caller } from "../caller.ts";
import { unauthenticated } from "../errors.ts";
import type { Revision } from "../revision.ts";
import { type EntryLookup, isBlacklisted, type TokenIdentity } from "../token-identity.ts";
import type { CheckAnswer, Verdict } from "./check-service.ts";

/** The state from which a check is answered. */
export interface CheckState extends EntryLookup {
  readonly revision: Revision;
}

/**
 * Returns one verdict per token. Throws UNAUTHENTICATED when the caller's own token is blacklisted. While negatives are `unavailable`, each
 * token not known to be blacklisted is "unknown"; when no token is known to be blacklisted, the error in `unavailable` is thrown.
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
