import type { EpochMs, Jti } from "../entry.ts";
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
 * One verdict a jti. With a `doubt`, what is not known to be blacklisted is unknown; and where nothing is known to be
 * blacklisted, the doubt is thrown.
 */
export function answer(jtis: readonly Jti[], knowledge: Knowledge, doubt?: unknown): CheckAnswer {
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

/** An entry answers until its expiry and the leeway have passed. */
export function isBlacklisted(jti: Jti, { expiryOf, now, leewayMs }: Knowledge): boolean {
  const expiresAt = expiryOf(jti);
  return expiresAt !== 0 && expiresAt + leewayMs > now;
}
