import { createRemoteJWKSet } from "jose";
import { type BlacklistClient, connect } from "token-blacklist-client";

/** How often the issuer's keys are read again; a withdrawn key is accepted for at most this long. */
const KEYS_RELOAD_MS = 60_000;

/** Everything a gateway needs to judge a token. */
export interface Trust {
  readonly issuer: string;
  readonly audience: string;
  /** Asymmetric only: with a shared secret, every verifier could also sign tokens. */
  readonly algorithms: ("ES256" | "RS256")[];
  /** The issuer's key for a token with this header. */
  readonly keys: ReturnType<typeof createRemoteJWKSet>;
  readonly blacklist: BlacklistClient;
}

/** The maximum staleness of a check in milliseconds. Absent: fully fresh. */
export interface Freshness {
  readonly maxStalenessMs?: number | undefined;
}

/** Reads `ISSUER`, `AUDIENCE` and `JWKS_URL`, which define the accepted tokens, and `BLACKLIST_ADDRESS`, the service's address. */
export function trustFrom(env: NodeJS.ProcessEnv): Trust {
  const { ISSUER: issuer, AUDIENCE: audience, JWKS_URL, BLACKLIST_ADDRESS = "127.0.0.1:50051" } = env;
  if (!issuer || !audience || !JWKS_URL) throw new Error("ISSUER, AUDIENCE and JWKS_URL must be set");
  // Keys never expire from the cache: while they cannot be read, the last ones stay valid rather than all tokens being rejected.
  const keys = createRemoteJWKSet(new URL(JWKS_URL), { cacheMaxAge: Number.POSITIVE_INFINITY });
  setInterval(() => keys.reload().catch(() => {}), KEYS_RELOAD_MS).unref();
  const blacklist = connect({
    address: BLACKLIST_ADDRESS,
    // A local copy: most checks need no round trip, and tokens known to be revoked stay rejected during an outage.
    mode: "local",
    // A check without an answer fails after this time.
    timeoutMs: 1000,
  });
  return { issuer, audience, algorithms: ["ES256", "RS256"], keys, blacklist };
}
