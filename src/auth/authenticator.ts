import type { PeerCertificate } from "node:tls";
import { unauthenticated } from "../errors.ts";
import { ANYBODY, type Principal } from "../principal.ts";
import type { Bearers } from "./bearers.ts";
import type { Certificates } from "./certificates.ts";

/** What a call brings to say who makes it. */
export interface Credentials {
  /** The values of its `authorization` metadata. */
  readonly authorization: readonly unknown[];
  /** The verified certificate of its connection, if there is one. */
  certificate(): PeerCertificate | undefined;
  /** It was let in and goes on: that its token, or its certificate, has expired since is no reason to end it. */
  readonly isRunning?: boolean;
}

/** Tells who makes a call, by whatever kinds of credentials are accepted. */
export type Authenticator = (credentials: Credentials) => Principal | Promise<Principal>;

/**
 * With neither kind everybody is let in. A call with a bearer token is its bearer's, whatever the certificate says: a gateway may
 * carry many callers' tokens over one connection.
 */
export function createAuthenticator({
  bearers,
  certificates,
}: {
  bearers: Bearers | undefined;
  certificates: Certificates | undefined;
}): Authenticator {
  if (bearers === undefined && certificates === undefined) return () => ANYBODY;
  return (credentials) => {
    certificates?.refuseDistrusted(credentials);
    const { authorization, isRunning = false } = credentials;
    if (authorization.length > 0 && bearers !== undefined) {
      return bearers.authenticate(authorization, { evenExpired: isRunning });
    }
    const shown = certificates === undefined ? undefined : credentials.certificate();
    if (shown === undefined || certificates === undefined)
      throw unauthenticated(missing(bearers, certificates));
    return certificates.principalOf(shown, { evenExpired: isRunning });
  };
}

function missing(bearers: unknown, certificates: unknown): string {
  const kinds = [
    ...(bearers === undefined ? [] : ["a bearer token in the authorization metadata"]),
    ...(certificates === undefined ? [] : ["a client certificate"]),
  ];
  return `the call needs ${kinds.join(" or ")}`;
}
