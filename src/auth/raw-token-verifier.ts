import type { TurnCaller } from "../admission/fair-turns.ts";
import { type EpochMs, type Jti, MAX_EPOCH_MS } from "../entry.ts";
import { issuerError, numericDate, validJti } from "./claims.ts";
import type { JwksCache } from "./jwks-cache.ts";
import { VerificationQueue } from "./verification-queue.ts";
import { type Claims, InvalidTokenError, unverifiedClaims, verifiedClaims } from "./verify.ts";

/** The jti and expiry of a token that has been verified. */
export interface VerifiedToken {
  readonly jti: Jti;
  /** The token's `exp`, rounded up to whole milliseconds. It may have passed. */
  readonly expiresAt: EpochMs;
}

interface Options {
  /** The key sets by issuer. */
  readonly issuers: ReadonlyMap<string, JwksCache>;
  readonly algorithms: readonly string[];
}

/** Verifies the raw tokens that callers submit for blacklisting. Only the jti and expiry of a token are kept. */
export class RawTokenVerifier {
  readonly #options: Options;
  readonly #queue = new VerificationQueue();

  constructor(options: Options) {
    this.#options = options;
  }

  /**
   * Verifies tokens, and returns the jti and expiry of each, in the same order. A token may have expired or not be valid yet. In place of a
   * token that is not accepted, the result has an InvalidTokenError whose message says what the token must be like. Throws KEYS_UNAVAILABLE
   * if the keys for any token are missing, OVERLOADED if too many tokens are queued, CANCELLED if the caller is gone.
   */
  identify(
    tokens: readonly string[],
    caller: TurnCaller,
  ): Promise<readonly (VerifiedToken | InvalidTokenError)[]> {
    return this.#queue.reserve(tokens.length, caller, () => this.#identify(tokens, caller));
  }

  async #identify(
    tokens: readonly string[],
    caller: TurnCaller,
  ): Promise<(VerifiedToken | InvalidTokenError)[]> {
    let hasFailed = false;
    // If the keys for one token are missing, the other tokens are skipped: their caller counts as gone.
    const sharedCaller = {
      principal: caller.principal,
      get isGone() {
        return hasFailed || caller.isGone;
      },
    };
    try {
      const issuedTokens = await Promise.all(
        tokens.map((token) => orInvalid(this.#queue.run(sharedCaller, () => this.#findIssuer(token)))),
      );
      // All verifications start in one turn of the event loop, so that those with the same issuer share a read of its keys.
      return await Promise.all(
        issuedTokens.map((issued) =>
          issued instanceof InvalidTokenError ? issued : orInvalid(this.#verify(issued, sharedCaller)),
        ),
      );
    } catch (error) {
      hasFailed = true;
      throw error;
    }
  }

  #findIssuer(token: string): IssuedToken {
    const { issuers } = this.#options;
    if (issuers.size === 0) {
      throw new InvalidTokenError(
        "cannot be verified: this service has no TOKEN_ISSUERS. Send jti and expires_at",
      );
    }
    const { iss } = unverifiedClaims(token);
    const keys = typeof iss === "string" ? issuers.get(iss) : undefined;
    if (keys === undefined) {
      const options = { known: issuers.keys(), setting: "one of TOKEN_ISSUERS" };
      throw issuerError("must have a known issuer", iss, options);
    }
    return { token, keys };
  }

  async #verify({ token, keys }: IssuedToken, caller: TurnCaller): Promise<VerifiedToken> {
    const claims = await verifiedClaims(token, {
      ...{ keys, algorithms: this.#options.algorithms },
      checkUnverified: identityOf,
      // Only the verification is queued, so that a token that waits for its issuer's keys does not delay others.
      schedule: (verify) => this.#queue.run(caller, verify),
    });
    return identityOf(claims);
  }
}

/** A token and the keys of its issuer. */
interface IssuedToken {
  readonly token: string;
  readonly keys: JwksCache;
}

/** Resolves to the InvalidTokenError with which `verification` rejects. */
function orInvalid<T>(verification: Promise<T>): Promise<T | InvalidTokenError> {
  return verification.catch((error: unknown) => {
    if (error instanceof InvalidTokenError) return error;
    throw error;
  });
}

function identityOf(claims: Claims): VerifiedToken {
  return { jti: jtiOf(claims), expiresAt: expiryOf(claims) };
}

function jtiOf({ jti }: Claims): Jti {
  if (jti === undefined) throw new InvalidTokenError("must have a jti");
  return validJti(jti);
}

function expiryOf({ exp }: Claims): EpochMs {
  if (exp === undefined) throw new InvalidTokenError("must have an exp");
  const expiresAt = Math.ceil(numericDate(exp, "exp") * 1000);
  if (expiresAt < 1) throw new InvalidTokenError("has a malformed exp: it must be more than 0");
  if (expiresAt > MAX_EPOCH_MS) {
    throw new InvalidTokenError("has a malformed exp: it must be before the year 10000 (it counts seconds)");
  }
  return expiresAt as EpochMs;
}
