import type { PeerCertificate } from "node:tls";
import { type Principal, UNRESTRICTED_PRINCIPAL } from "../caller.ts";
import { ServiceError, unauthenticated } from "../errors.ts";
import type { BearerAuthenticator } from "./bearer-authenticator.ts";
import type { CertificateAuthenticator } from "./certificate-authenticator.ts";

/** The credentials of a call. */
export interface Credentials {
  /** The values of the call's `authorization` metadata. */
  readonly authorization: readonly unknown[];
  /** The verified client certificate of the connection, if any. */
  certificate(): PeerCertificate | undefined;
  /** Whether the call was admitted before. It must then not end merely because its token or certificate has expired since. Default: false. */
  readonly isReauthentication?: boolean;
}

/** Identifies the caller by any of the accepted kinds of credentials. Throws, or rejects with, UNAUTHENTICATED or KEYS_UNAVAILABLE. */
export type Authenticator = (credentials: Credentials) => Principal | Promise<Principal>;

/**
 * Creates the authenticator for the given kinds of credentials. Without any kind, every caller is admitted. A bearer token takes precedence
 * over the certificate, since a gateway may carry the tokens of many callers over one connection.
 */
export function createAuthenticator({
  bearerAuthenticator,
  certificateAuthenticator,
}: {
  bearerAuthenticator: BearerAuthenticator | undefined;
  certificateAuthenticator: CertificateAuthenticator | undefined;
}): Authenticator {
  const kinds = [
    bearerAuthenticator && "a bearer token in the authorization metadata",
    certificateAuthenticator && "a client certificate",
  ].filter((kind) => kind !== undefined);
  if (kinds.length === 0) return () => UNRESTRICTED_PRINCIPAL;
  const missing = unauthenticated(`the call needs ${kinds.join(" or ")}`);
  return (credentials) => {
    certificateAuthenticator?.refuseDistrusted(credentials);
    const { authorization, isReauthentication = false } = credentials;
    if (authorization.length > 0 && bearerAuthenticator !== undefined) {
      return bearerAuthenticator.authenticate(authorization, { allowExpired: isReauthentication });
    }
    const certificate = certificateAuthenticator && credentials.certificate();
    if (certificate === undefined || certificateAuthenticator === undefined) throw missing;
    return certificateAuthenticator.principalOf(certificate, { allowExpired: isReauthentication });
  };
}

/**
 * The outcomes of authentication: "known" is success; "refused" is a missing or invalid credential; "unavailable" means that the keys to
 * verify a token with are missing; "failed" is an unexpected error.
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
