import type { Principal } from "../caller.ts";
import { ServiceError } from "../errors.ts";
import type { Authenticator } from "./authenticator.ts";

/**
 * The outcomes of authentication: known; refused, for a missing or bad credential; unavailable, since the keys to verify with could not be
 * read; or failed, by an unexpected error.
 */
export const AUTH_OUTCOMES = ["known", "refused", "unavailable", "failed"] as const;
export type AuthOutcome = (typeof AUTH_OUTCOMES)[number];

/** Wraps `authenticate` so that `report` receives the outcome of each authentication. */
export function withAuthenticationMetrics(
  authenticate: Authenticator,
  report: (outcome: AuthOutcome) => void,
): Authenticator {
  const succeeded = (principal: Principal) => {
    report("known");
    return principal;
  };
  const failed = (error: unknown): never => {
    report(outcomeOf(error));
    throw error;
  };
  return (credentials) => {
    let principal: Principal | Promise<Principal>;
    try {
      principal = authenticate(credentials);
    } catch (error) {
      return failed(error);
    }
    return principal instanceof Promise ? principal.then(succeeded, failed) : succeeded(principal);
  };
}

function outcomeOf(error: unknown): AuthOutcome {
  if (!(error instanceof ServiceError)) return "failed";
  if (error.reason === "UNAUTHENTICATED") return "refused";
  return error.reason === "KEYS_UNAVAILABLE" ? "unavailable" : "failed";
}
