import type { PeerCertificate } from "node:tls";
import { type Principal, UNRESTRICTED_PRINCIPAL } from "../caller.ts";
import { unauthenticated } from "../errors.ts";
import type { BearerAuthenticator } from "./bearer-authenticator.ts";
import type { CertificateAuthenticator } from "./certificate-authenticator.ts";

/** The credentials of a call. */
export interface Credentials {
  /** The values of the call's `authorization` metadata. */
  readonly authorization: readonly unknown[];
  /** The verified client certificate of the connection, if any. */
  certificate(): PeerCertificate | undefined;
  /** The call was admitted earlier and is still running: it must not end only because its token or certificate has expired since. */
  readonly isRunning?: boolean;
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
  if (bearerAuthenticator === undefined && certificateAuthenticator === undefined)
    return () => UNRESTRICTED_PRINCIPAL;
  return (credentials) => {
    certificateAuthenticator?.refuseDistrusted(credentials);
    const { authorization, isRunning = false } = credentials;
    if (authorization.length > 0 && bearerAuthenticator !== undefined) {
      return bearerAuthenticator.authenticate(authorization, { allowExpired: isRunning });
    }
    const certificate = certificateAuthenticator === undefined ? undefined : credentials.certificate();
    if (certificate === undefined || certificateAuthenticator === undefined)
      throw unauthenticated(missingCredentials(bearerAuthenticator, certificateAuthenticator));
    return certificateAuthenticator.principalOf(certificate, { allowExpired: isRunning });
  };
}

function missingCredentials(bearerAuthenticator: unknown, certificateAuthenticator: unknown): string {
  const kinds = [
    ...(bearerAuthenticator === undefined ? [] : ["a bearer token in the authorization metadata"]),
    ...(certificateAuthenticator === undefined ? [] : ["a client certificate"]),
  ];
  return `the call needs ${kinds.join(" or ")}`;
}
