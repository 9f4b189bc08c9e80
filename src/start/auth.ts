import type { Logger } from "pino";
import {
  type Authenticator,
  type AuthOutcome,
  createAuthenticator,
  withAuthenticationMetrics,
} from "../auth/authenticator.ts";
import { BearerAuthenticator } from "../auth/bearer-authenticator.ts";
import { CallerValidity } from "../auth/caller-validity.ts";
import { CertificateAuthenticator } from "../auth/certificate-authenticator.ts";
import { CertificateRolesFile } from "../auth/certificate-roles.ts";
import { JwksCache } from "../auth/jwks-cache.ts";
import type { JwksSource } from "../auth/jwks-source.ts";
import { RawTokenVerifier } from "../auth/raw-token-verifier.ts";
import type { Security } from "../config/security.ts";
import type { Clock } from "../time/clock.ts";
import type { ClockBounds } from "../time/clock-bounds.ts";

interface Auth {
  readonly authenticate: Authenticator;
  readonly callerValidity: CallerValidity;
  /** Absent: clients are not asked for certificates. */
  readonly certificateAuthenticator: CertificateAuthenticator | undefined;
  readonly rawTokens: RawTokenVerifier;
  /** Whether the last version of the certificate roles file was unusable; undefined if there is no such file. */
  readonly rolesRejected: boolean | undefined;
  /** The number of key sets that could not be read last time. */
  readonly unreadableKeySets: number;
  /** Stops reading key sets and the roles file. */
  stop(): void;
}

interface Dependencies {
  readonly clock: Clock;
  readonly clockBounds: ClockBounds;
  readonly log: Logger;
  /** Receives the outcome of each authentication; never called if authentication is off. */
  readonly onOutcome: (outcome: AuthOutcome) => void;
}

/** Creates the authenticators and the verifier of raw tokens. Begins to read key sets, without waiting for them. */
export function startAuth(security: Security, { clock, clockBounds, log, onOutcome }: Dependencies): Auth {
  const keySets: JwksCache[] = [];
  function keySet(name: string, source: JwksSource): JwksCache {
    const keys = new JwksCache({ source, name, clock, log });
    keySets.push(keys);
    return keys;
  }

  const { bearers: rules, certificateRoles, tokenIssuers, tokenAlgorithms } = security;
  // By the faster clock, so that a token or certificate is no longer accepted once it has expired by either clock.
  const callerValidity = new CallerValidity(() => clockBounds.latest());
  const keys = rules && keySet("callers", rules.keys);
  const bearerAuthenticator =
    rules && keys && new BearerAuthenticator({ rules, keys, clock, now: () => clockBounds.latest() });
  // Registered after the BearerAuthenticator's own listener, so that its cached results are cleared first.
  keys?.onChange(() => callerValidity.changed());
  const { certificateRolesFile: path } = security;
  const rolesFile = path === undefined ? undefined : new CertificateRolesFile({ path, clock, log });
  const roles = rolesFile?.roles ?? certificateRoles;
  const certificateAuthenticator =
    roles &&
    new CertificateAuthenticator(roles, {
      acceptsTokens: bearerAuthenticator !== undefined,
      now: () => clock.now(),
      onChange: () => callerValidity.changed(),
    });
  rolesFile?.watch((changed) => certificateAuthenticator?.replaceRoles(changed));
  const issuers = new Map(
    tokenIssuers.map(({ issuer, keys }, index) => [issuer, keySet(`token issuer ${index + 1}`, keys)]),
  );
  for (const keys of keySets) keys.start();
  const authenticate = createAuthenticator({ bearerAuthenticator, certificateAuthenticator });
  return {
    callerValidity,
    certificateAuthenticator,
    get rolesRejected() {
      return rolesFile?.isRejected;
    },
    authenticate:
      bearerAuthenticator || certificateAuthenticator
        ? withAuthenticationMetrics(authenticate, onOutcome)
        : authenticate,
    get unreadableKeySets() {
      return keySets.filter(({ isUnreadable }) => isUnreadable).length;
    },
    rawTokens: new RawTokenVerifier({ issuers, algorithms: tokenAlgorithms }),
    stop() {
      for (const keys of keySets) keys.stop();
      rolesFile?.stop();
    },
  };
}
