import type { Caller } from "../caller.ts";
import type { EpochMs, Jti } from "../entry.ts";
import { unauthenticated } from "../errors.ts";
import type { Revision } from "../revision.ts";
import type { CheckAnswer, Verdict } from "./check-service.ts";

/** The state from which a check is answered. */
export interface EntryLookup {
  /** The token's expiry in milliseconds since 1970; 0 if it is not known. */
  expiryOf(jti: Jti): number;
  /** The earlier of the service's clock and the database's: a time that has passed by this has passed by both clocks. */
  readonly now: EpochMs;
  readonly leewayMs: number;
  readonly revision: Revision;
}

/**
 * Returns one verdict per jti. Throws UNAUTHENTICATED when the caller's own token is blacklisted. With a `doubt`, each jti not
 * known to be blacklisted is "unknown"; when no jti is known to be blacklisted, the doubt is thrown.
 */
export function verdictsOf(
  jtis: readonly Jti[],
  knowledge: EntryLookup,
  { caller, doubt }: { caller: Caller; doubt?: unknown },
): CheckAnswer {
  rejectRevokedCaller(caller, knowledge);
  const rest: Verdict = doubt === undefined ? "not-blacklisted" : "unknown";
  let positives = 0;
  const verdicts = jtis.map((jti): Verdict => {
    if (!isBlacklisted(jti, knowledge)) return rest;
    positives++;
    return "blacklisted";
  });
  if (doubt !== undefined && positives === 0) throw doubt;
  return { verdicts, revision: knowledge.revision };
}

/** Throws UNAUTHENTICATED when the caller's own token is blacklisted. It is judged with the same freshness as the jtis of the check. */
export function rejectRevokedCaller({ principal }: Caller, knowledge: EntryLookup): void {
  const own = principal?.jti;
  if (own !== undefined && isBlacklisted(own, knowledge)) {
    throw unauthenticated("the caller's own token is blacklisted");
  }
}

/** True until the entry's expiry plus the leeway has passed. */
export function isBlacklisted(jti: Jti, { expiryOf, now, leewayMs }: EntryLookup): boolean {
  const expiresAt = expiryOf(jti);
  return expiresAt !== 0 && expiresAt + leewayMs > now;
}
