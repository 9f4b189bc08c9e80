import type { Logger } from "pino";
import { type Authenticator, createAuthenticator } from "./auth/authenticator.ts";
import { Bearers } from "./auth/bearers.ts";
import { Certificates } from "./auth/certificates.ts";
import { KeySet } from "./auth/key-set.ts";
import type { KeySource } from "./auth/key-source.ts";
import { RawTokens } from "./auth/raw-tokens.ts";
import type { BothClocks } from "./both-clocks.ts";
import type { Clock } from "./clock.ts";
import type { Security } from "./config/security.ts";

export interface Auth {
  readonly authenticate: Authenticator;
  readonly rawTokens: RawTokens;
  /** Reads no key set any more. */
  stop(): void;
}

/** Puts together what tells callers and tokens apart. Key sets are read from now on; nobody waits for them here. */
export function startAuth(
  security: Security,
  { clock, clocks, log }: { clock: Clock; clocks: BothClocks; log: Logger },
): Auth {
  const keySets: KeySet[] = [];
  function keySet(name: string, source: KeySource): KeySet {
    const keys = new KeySet({ source, name, clock, log });
    keySets.push(keys);
    return keys;
  }

  const { bearers: rules, certificateRoles, tokenIssuers, tokenAlgorithms } = security;
  const bearers =
    rules && new Bearers({ rules, keys: keySet("callers", rules.keys), clock, now: () => clocks.later() });
  const certificates = certificateRoles && new Certificates(certificateRoles);
  const issuers = new Map(
    tokenIssuers.map(({ issuer, keys }, index) => [issuer, keySet(`token issuer ${index + 1}`, keys)]),
  );
  for (const keys of keySets) keys.start();
  return {
    authenticate: createAuthenticator({ bearers, certificates }),
    rawTokens: new RawTokens({ issuers, algorithms: tokenAlgorithms }),
    stop() {
      for (const keys of keySets) keys.stop();
    },
  };
}
