import type { Caller } from "../caller.ts";
import type { EpochMs, Jti } from "../entry.ts";
import { unauthenticated } from "../errors.ts";
import type { Revision } from "../revision.ts";
import type { CheckAnswer, Verdict } from "./checks.ts";

/** What is known when a check is answered. */
export interface Knowledge {
  /** When the token expires, in milliseconds since 1970; 0 where it is not known. */
  expiryOf(jti: Jti): number;
  /** What has passed by this has passed by both clocks. */
  readonly now: EpochMs;
  readonly leewayMs: number;
  readonly revision: Revision;
}

/**
 * One verdict a jti. Throws UNAUTHENTICATED when the caller's own token is blacklisted. With a `doubt`, what is not known to
 * be blacklisted is unknown; and where nothing is known to be blacklisted, the doubt is thrown.
 */
export function answer(
  jtis: readonly Jti[],
  knowledge: Knowledge,
  { caller, doubt }: { caller: Caller; doubt?: unknown },
): CheckAnswer {
  refuseRevoked(caller, knowledge);
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

/** As fresh as what is known: a caller's own token is judged like those it asks about. */
export function refuseRevoked({ principal }: Caller, knowledge: Knowledge): void {
  const own = principal?.jti;
  if (own !== undefined && isBlacklisted(own, knowledge)) {
    throw unauthenticated("the caller's own token is blacklisted");
  }
}

/** An entry answers until its expiry and the leeway have passed. */
export function isBlacklisted(jti: Jti, { expiryOf, now, leewayMs }: Knowledge): boolean {
  const expiresAt = expiryOf(jti);
  return expiresAt !== 0 && expiresAt + leewayMs > now;
}
