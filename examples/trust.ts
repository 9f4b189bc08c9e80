import { createRemoteJWKSet } from "jose";
import { type BlacklistClient, connect } from "token-blacklist-client";

/** How often the issuer's keys are read anew: withdrawn ones are forgotten within this time. */
const KEYS_RELOAD_MS = 60_000;

/** What a gateway needs to judge a token. */
export interface Trust {
  readonly issuer: string;
  readonly audience: string;
  /** Asymmetric alone: whoever can verify with a shared secret can sign with it too. */
  readonly algorithms: ("ES256" | "RS256")[];
  /** The issuer's key for a token with this header. */
  readonly keys: ReturnType<typeof createRemoteJWKSet>;
  readonly blacklist: BlacklistClient;
}

/** How long ago a token may have been the last time that it was known not to be revoked. Absent: fully fresh. */
export interface Freshness {
  readonly maxStalenessMs?: number | undefined;
}

/** `ISSUER`, `AUDIENCE` and `JWKS_URL` say whose tokens are taken, `BLACKLIST_ADDRESS` who knows which are revoked. */
export function trustFrom(env: NodeJS.ProcessEnv): Trust {
  const { ISSUER: issuer, AUDIENCE: audience, JWKS_URL, BLACKLIST_ADDRESS = "127.0.0.1:50051" } = env;
  if (!issuer || !audience || !JWKS_URL) throw new Error("ISSUER, AUDIENCE and JWKS_URL must be set");
  // Not reading keys for a while is no reason to refuse tokens: what was read last stays until it is read again.
  const keys = createRemoteJWKSet(new URL(JWKS_URL), { cacheMaxAge: Number.POSITIVE_INFINITY });
  setInterval(() => keys.reload().catch(() => {}), KEYS_RELOAD_MS).unref();
  const blacklist = connect({
    address: BLACKLIST_ADDRESS,
    // A copy in this process: most checks need no round trip, and what is known to be revoked stays known in an outage.
    mode: "replica",
    // A request is told within this time that nobody knows.
    timeoutMs: 1000,
  });
  return { issuer, audience, algorithms: ["ES256", "RS256"], keys, blacklist };
}
