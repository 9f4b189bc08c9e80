import { type EpochMs, type Jti, MAX_EPOCH_MS } from "../entry.ts";
import { kindOf, nearMiss, numericDate, readJti } from "./claims.ts";
import type { KeySet } from "./key-set.ts";
import { type Claims, TokenRefused, unverifiedClaims, verifiedClaims } from "./verify.ts";

export interface TokenIdentity {
  readonly jti: Jti;
  /** Its `exp`, rounded up to whole milliseconds. It may have passed. */
  readonly expiresAt: EpochMs;
}

/** Verifies the tokens that callers show in order to have them blacklisted. Nothing of a token is kept but its jti and expiry. */
export class RawTokens {
  /** By the issuer's name. */
  readonly #issuers: ReadonlyMap<string, KeySet>;
  readonly #algorithms: readonly string[];

  constructor(options: { issuers: ReadonlyMap<string, KeySet>; algorithms: readonly string[] }) {
    this.#issuers = options.issuers;
    this.#algorithms = options.algorithms;
  }

  /**
   * Which token it is, and when it expires. Whether it has expired, or is not valid yet, does not matter here. Throws TokenRefused, whose
   * message says what the token must be like, or KEYS_UNAVAILABLE.
   */
  async identify(token: string): Promise<TokenIdentity> {
    if (this.#issuers.size === 0) {
      throw new TokenRefused(
        "cannot be verified: this service has no TOKEN_ISSUERS. Send jti and expires_at",
      );
    }
    const { iss } = unverifiedClaims(token);
    const keys = typeof iss === "string" ? this.#issuers.get(iss) : undefined;
    if (keys === undefined) throw this.#unknownIssuer(iss);
    const claims = await verifiedClaims(token, {
      ...{ keys, algorithms: this.#algorithms },
      preview: identityOf,
    });
    return identityOf(claims);
  }

  #unknownIssuer(iss: unknown): TokenRefused {
    const message = "must be of an issuer that is known here";
    if (typeof iss !== "string") return new TokenRefused(`${message}: its iss is ${kindOf(iss)}`);
    const difference = nearMiss(iss, this.#issuers.keys());
    if (difference === undefined) return new TokenRefused(message);
    return new TokenRefused(`${message}: its iss differs from one of TOKEN_ISSUERS by ${difference}`);
  }
}

function identityOf(claims: Claims): TokenIdentity {
  return { jti: jtiOf(claims), expiresAt: expiryOf(claims) };
}

function jtiOf({ jti }: Claims): Jti {
  if (jti === undefined) throw new TokenRefused("must have a jti");
  return readJti(jti);
}

function expiryOf({ exp }: Claims): EpochMs {
  if (exp === undefined) throw new TokenRefused("must have an exp");
  const expiresAt = Math.ceil(numericDate(exp, "exp") * 1000);
  if (expiresAt < 1) throw new TokenRefused("has a malformed exp: it must lie after 1970");
  if (expiresAt > MAX_EPOCH_MS) {
    throw new TokenRefused("has a malformed exp: it must lie before the year 10000 (it counts seconds)");
  }
  return expiresAt as EpochMs;
}
