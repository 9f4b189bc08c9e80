import type { Logger } from "pino";
import { type Authenticator, createAuthenticator } from "./auth/authenticator.ts";
import { Bearers } from "./auth/bearers.ts";
import { CallerValidity } from "./auth/caller-validity.ts";
import { CertificateRolesFile } from "./auth/certificate-roles-file.ts";
import { Certificates } from "./auth/certificates.ts";
import { KeySet } from "./auth/key-set.ts";
import type { KeySource } from "./auth/key-source.ts";
import { type AuthOutcome, observed } from "./auth/observed.ts";
import { RawTokens } from "./auth/raw-tokens.ts";
import type { BothClocks } from "./both-clocks.ts";
import type { Clock } from "./clock.ts";
import type { Security } from "./config/security.ts";

export interface Auth {
  readonly authenticate: Authenticator;
  readonly callers: CallerValidity;
  /** Absent: clients are not asked for certificates. */
  readonly certificates: Certificates | undefined;
  readonly rawTokens: RawTokens;
  /** Whether the file of the certificates' roles is unusable; undefined if there is none. */
  readonly rolesRejected: boolean | undefined;
  /** The number of key sets whose last read failed. */
  readonly unreadable: number;
  /** Stops reading key sets and the file of roles. */
  stop(): void;
}

interface Parts {
  readonly clock: Clock;
  readonly clocks: BothClocks;
  readonly log: Logger;
  /** Receives the outcome of each authentication; never called if authentication is off. */
  readonly onOutcome: (outcome: AuthOutcome) => void;
}

/** Creates the parts that authenticate callers and verify tokens. Begins to read key sets, without waiting for them. */
export function startAuth(security: Security, { clock, clocks, log, onOutcome }: Parts): Auth {
  const keySets: KeySet[] = [];
  function keySet(name: string, source: KeySource): KeySet {
    const keys = new KeySet({ source, name, clock, log });
    keySets.push(keys);
    return keys;
  }

  const { bearers: rules, certificateRoles, tokenIssuers, tokenAlgorithms } = security;
  const callers = new CallerValidity(() => clocks.later());
  const keys = rules && keySet("callers", rules.keys);
  const bearers = rules && keys && new Bearers({ rules, keys, clock, now: () => clocks.later() });
  // Registered after Bearers, so that its cached results are cleared first.
  keys?.onChange(() => callers.changed());
  const { certificateRolesFile: path } = security;
  const rolesFile = path === undefined ? undefined : new CertificateRolesFile({ path, clock, log });
  const roles = rolesFile?.roles ?? certificateRoles;
  const certificates =
    roles &&
    new Certificates(roles, {
      besideTokens: bearers !== undefined,
      now: () => clock.now(),
      onChange: () => callers.changed(),
    });
  rolesFile?.watch((changed) => certificates?.replaceRoles(changed));
  const issuers = new Map(
    tokenIssuers.map(({ issuer, keys }, index) => [issuer, keySet(`token issuer ${index + 1}`, keys)]),
  );
  for (const keys of keySets) keys.start();
  const authenticate = createAuthenticator({ bearers, certificates });
  return {
    callers,
    certificates,
    get rolesRejected() {
      return rolesFile?.isRejected;
    },
    authenticate: bearers || certificates ? observed(authenticate, onOutcome) : authenticate,
    get unreadable() {
      return keySets.filter(({ isUnreadable }) => isUnreadable).length;
    },
    rawTokens: new RawTokens({ issuers, algorithms: tokenAlgorithms }),
    stop() {
      for (const keys of keySets) keys.stop();
      rolesFile?.stop();
    },
  };
}
