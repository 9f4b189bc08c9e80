import { ServiceError } from "../errors.ts";
import type { Principal } from "../principal.ts";
import type { Authenticator } from "./authenticator.ts";

/**
 * What became of the question who calls: known; refused, for a credential that is missing or bad; unavailable, since the keys could not
 * be had that would tell; or failed, in a way that nobody foresaw.
 */
export const AUTH_OUTCOMES = ["known", "refused", "unavailable", "failed"] as const;
export type AuthOutcome = (typeof AUTH_OUTCOMES)[number];

/** As `authenticate`, and `tell` hears how each question ended. */
export function observed(authenticate: Authenticator, tell: (outcome: AuthOutcome) => void): Authenticator {
  const known = (principal: Principal) => {
    tell("known");
    return principal;
  };
  const unknown = (error: unknown): never => {
    tell(outcomeOf(error));
    throw error;
  };
  return (credentials) => {
    let principal: Principal | Promise<Principal>;
    try {
      principal = authenticate(credentials);
    } catch (error) {
      return unknown(error);
    }
    return principal instanceof Promise ? principal.then(known, unknown) : known(principal);
  };
}

function outcomeOf(error: unknown): AuthOutcome {
  if (!(error instanceof ServiceError)) return "failed";
  if (error.reason === "UNAUTHENTICATED") return "refused";
  return error.reason === "KEYS_UNAVAILABLE" ? "unavailable" : "failed";
}
