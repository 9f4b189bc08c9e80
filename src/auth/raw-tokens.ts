import { type EpochMs, type Jti, MAX_EPOCH_MS } from "../entry.ts";
import { kindOf, nearMiss, numericDate, readJti } from "./claims.ts";
import type { KeySet } from "./key-set.ts";
import { type VerificationCaller, VerificationQueue } from "./verification-queue.ts";
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
  readonly #queue = new VerificationQueue();

  constructor(options: { issuers: ReadonlyMap<string, KeySet>; algorithms: readonly string[] }) {
    this.#issuers = options.issuers;
    this.#algorithms = options.algorithms;
  }

  /**
   * Which tokens they are, and when they expire, in the same order. Whether one has expired, or is not valid yet, does not matter here. In the
   * place of one that is not accepted stands why: a TokenRefused, whose message says what the token must be like. Throws KEYS_UNAVAILABLE where that
   * cannot be told of all, OVERLOADED where too many wait to be verified, CANCELLED where the caller has gone.
   */
  identify(
    tokens: readonly string[],
    caller: VerificationCaller,
  ): Promise<readonly (TokenIdentity | TokenRefused)[]> {
    return this.#queue.reserve(tokens.length, caller, () => this.#identify(tokens, caller));
  }

  async #identify(
    tokens: readonly string[],
    caller: VerificationCaller,
  ): Promise<(TokenIdentity | TokenRefused)[]> {
    let hasFailed = false;
    // Where one token cannot be judged, nobody waits for the rest.
    const asker = {
      principal: caller.principal,
      get gone() {
        return hasFailed || caller.gone;
      },
    };
    try {
      const read = await Promise.all(
        tokens.map((token) => orRefusal(this.#queue.run(asker, () => this.#issuedBy(token)))),
      );
      // All in one turn of the event loop: they share one reading of their issuer's keys, should they need it.
      return await Promise.all(
        read.map((issued) =>
          issued instanceof TokenRefused ? issued : orRefusal(this.#verify(issued, asker)),
        ),
      );
    } catch (error) {
      hasFailed = true;
      throw error;
    }
  }

  #issuedBy(token: string): IssuedToken {
    if (this.#issuers.size === 0) {
      throw new TokenRefused(
        "cannot be verified: this service has no TOKEN_ISSUERS. Send jti and expires_at",
      );
    }
    const { iss } = unverifiedClaims(token);
    const keys = typeof iss === "string" ? this.#issuers.get(iss) : undefined;
    if (keys === undefined) throw this.#unknownIssuer(iss);
    return { token, keys };
  }

  async #verify({ token, keys }: IssuedToken, caller: VerificationCaller): Promise<TokenIdentity> {
    const claims = await verifiedClaims(token, {
      ...{ keys, algorithms: this.#algorithms },
      preview: identityOf,
      // Not around the whole: a token that waits for its issuer's keys holds nobody else up.
      schedule: (verify) => this.#queue.run(caller, verify),
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

/** A token, and the keys of the issuer that it names. */
interface IssuedToken {
  readonly token: string;
  readonly keys: KeySet;
}

function orRefusal<T>(judged: Promise<T>): Promise<T | TokenRefused> {
  return judged.catch((error: unknown) => {
    if (error instanceof TokenRefused) return error;
    throw error;
  });
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
