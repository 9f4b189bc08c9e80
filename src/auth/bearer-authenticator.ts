import { type Principal, ROLES, type Role } from "../caller.ts";
import { type EpochMs, textProblem } from "../entry.ts";
import { unauthenticated } from "../errors.ts";
import { MAX_REVOKED_BY_BYTES } from "../limits.ts";
import type { Clock } from "../time/clock.ts";
import { issuerError, kindOf, nearMiss, numericDate, validJti } from "./claims.ts";
import type { JwksCache } from "./jwks-cache.ts";
import { type Claims, InvalidTokenError, verifiedClaims } from "./verify.ts";

/** Maximum number of cached bearer tokens, and maximum length of a cached token in characters: 41 MB in total. */
export const MAX_CACHED_BEARERS = 10_000;
export const MAX_CACHED_BEARER_LENGTH = 4096;

/** The requirements for a caller's token. */
export interface BearerRules {
  /** The required `iss`, compared byte for byte. */
  readonly issuer: string;
  /** The required `aud`, or a required element of it. */
  readonly audience: string;
  readonly algorithms: readonly string[];
  /** The claim that holds the caller's roles, as text separated by spaces or as a list. */
  readonly scopeClaim: string;
  /** How far `nbf` and `iat` may lie in the future, since the issuer's clock may be fast. No tolerance applies to `exp`. */
  readonly clockToleranceMs: number;
}

/** Stands for an `authorization` that arrived damaged or repeated: the call has a credential, but the credential is invalid. */
export const DAMAGED_AUTHORIZATION = "damaged";
const DAMAGED = unauthenticated(
  "the authorization metadata of the call is repeated or not text, or a header field has invalid characters",
);
const MALFORMED = unauthenticated("the authorization metadata must be a single value: Bearer and the token");

interface Options {
  readonly rules: BearerRules;
  /** The issuer's keys. */
  readonly keys: JwksCache;
  readonly clock: Clock;
  /** The latest time of all clocks. Entries of expired tokens are deleted, so a clock that was set back must not make such a token valid again. */
  readonly now: () => EpochMs;
}

interface CachedCaller {
  readonly principal: Principal;
  readonly expiresAt: EpochMs;
  /** The expiry in milliseconds of the monotonic clock, which cannot be set back. */
  readonly expiresAtMonotonic: number;
}

/**
 * Authenticates callers by bearer token (RFC 6750). A signature is verified once, and the result is cached until the token expires or the
 * keys change.
 */
export class BearerAuthenticator {
  readonly #options: Options;
  /** Cached results by the value of the `authorization` metadata, oldest first. Even the parsing of a token is then done once. */
  readonly #cached = new Map<string, CachedCaller>();
  /** Verifications in flight by the value of the metadata, so that a thousand calls with one new token verify it once. */
  readonly #inFlight = new Map<string, Promise<Principal>>();

  constructor(options: Options) {
    this.#options = options;
    options.keys.onChange(() => this.#cached.clear());
  }

  /**
   * Identifies the caller by the `authorization` metadata. Throws, or rejects with, UNAUTHENTICATED, or KEYS_UNAVAILABLE if the keys to
   * verify with are missing. With `allowExpired`, a token that is valid except for its expiry is accepted.
   */
  authenticate(
    [value, ...more]: readonly unknown[],
    { allowExpired = false }: { allowExpired?: boolean } = {},
  ): Principal | Promise<Principal> {
    if (typeof value !== "string" || more.length > 0) throw MALFORMED;
    if (value === DAMAGED_AUTHORIZATION) throw DAMAGED;
    const cached = this.#cached.get(value);
    if (cached !== undefined) {
      const { expiresAt, expiresAtMonotonic, principal } = cached;
      const { now, clock } = this.#options;
      if (allowExpired || (now() < expiresAt && clock.monotonic() < expiresAtMonotonic)) {
        return principal;
      }
      // The expired token stays cached: a new verification would accept it again if the wall clock was set back.
      throw unauthenticated("the bearer token has expired");
    }
    if (allowExpired) return this.#verify(value, true);
    let verifying = this.#inFlight.get(value);
    if (verifying === undefined) {
      verifying = this.#verify(value).finally(() => this.#inFlight.delete(value));
      this.#inFlight.set(value, verifying);
    }
    return verifying;
  }

  async #verify(value: string, allowExpired = false): Promise<Principal> {
    const [, token] = /^Bearer +([A-Za-z0-9._~+/=-]+)$/i.exec(value) ?? [];
    if (token === undefined) throw MALFORMED;
    const { keys, rules } = this.#options;
    // Version 0 has no keys: the verification then waits for the first keys, which become version 1.
    const versionBefore = Math.max(1, keys.version);
    try {
      const claims = await verifiedClaims(token, {
        ...{ keys, algorithms: rules.algorithms },
        checkUnverified: (unverified) => void this.#checkClaims(unverified, allowExpired),
      });
      const expiresAt = this.#checkClaims(claims, allowExpired);
      const principal = this.#principalOf(claims, expiresAt);
      // Do not cache a result if the keys have changed meanwhile, since the key may have been withdrawn.
      if (keys.version === versionBefore && !allowExpired) this.#cache(value, principal, expiresAt);
      return principal;
    } catch (error) {
      throw error instanceof InvalidTokenError ? unauthenticated(`the bearer token ${error.message}`) : error;
    }
  }

  /** Validates the claims, and returns the token's expiry. */
  #checkClaims({ iss, aud, exp, nbf, iat }: Claims, allowExpired: boolean): EpochMs {
    const { issuer } = this.#options.rules;
    if (iss !== issuer) {
      throw issuerError("has an issuer that is not accepted", iss, {
        known: [issuer],
        setting: "AUTH_ISSUER",
      });
    }
    this.#checkAudience(aud);
    if (exp === undefined) throw new InvalidTokenError("must have an exp");
    const expiresAt = numericDate(exp, "exp") * 1000;
    if (expiresAt <= this.#options.now() && !allowExpired) throw new InvalidTokenError("has expired");
    this.#checkNotInFuture(nbf, "nbf", "is not valid yet");
    this.#checkNotInFuture(iat, "iat", "was issued in the future");
    return expiresAt as EpochMs;
  }

  #checkAudience(aud: unknown): void {
    const { audience } = this.#options.rules;
    const audiences: readonly unknown[] = Array.isArray(aud) ? aud : [aud];
    if (audiences.includes(audience)) return;
    const message = "is not intended for this service";
    const texts = audiences.filter((value) => typeof value === "string");
    if (texts.length === 0 && !Array.isArray(aud)) {
      throw new InvalidTokenError(`${message}: its aud is ${kindOf(aud)}`);
    }
    if (texts.some((text) => text.split(/[\s,]+/).includes(audience))) {
      throw new InvalidTokenError(`${message}: several audiences must be a list`);
    }
    const [difference] = texts.flatMap((text) => nearMiss(text, [audience]) ?? []);
    if (difference === undefined) throw new InvalidTokenError(message);
    throw new InvalidTokenError(`${message}: its aud differs from AUTH_AUDIENCE by ${difference}`);
  }

  #checkNotInFuture(value: unknown, name: "nbf" | "iat", message: string): void {
    if (value === undefined) return;
    const { rules, clock } = this.#options;
    const { clockToleranceMs } = rules;
    if (numericDate(value, name) * 1000 <= clock.now() + clockToleranceMs) return;
    const tolerance = `${clockToleranceMs / 1000} s`;
    throw new InvalidTokenError(
      `${message}: its ${name} is more than ${tolerance} ahead of this service's clock (AUTH_CLOCK_TOLERANCE)`,
    );
  }

  #principalOf(claims: Claims, expiresAt: EpochMs): Principal {
    const { sub, jti } = claims;
    if (typeof sub !== "string" || sub === "") {
      throw new InvalidTokenError(`must have a sub that is text: its sub is ${kindOf(sub)}`);
    }
    if (textProblem(sub, MAX_REVOKED_BY_BYTES) !== undefined) {
      throw new InvalidTokenError(`must have a sub of at most ${MAX_REVOKED_BY_BYTES} bytes, without NUL`);
    }
    const principal = { name: sub, expiresAt, roles: rolesOf(claims[this.#options.rules.scopeClaim]) };
    return jti === undefined ? principal : { ...principal, token: validJti(jti) };
  }

  #cache(value: string, principal: Principal, expiresAt: EpochMs): void {
    if (value.length > MAX_CACHED_BEARER_LENGTH) return;
    if (this.#cached.size >= MAX_CACHED_BEARERS) {
      const [oldest] = this.#cached.keys();
      this.#cached.delete(oldest as string);
    }
    const { clock, now } = this.#options;
    const expiresAtMonotonic = clock.monotonic() + (expiresAt - now());
    this.#cached.set(value, { principal, expiresAt, expiresAtMonotonic });
  }
}

/**
 * The roles among the scopes, in both forms that authorization servers use: text with spaces (RFC 8693), and a list. None for a claim of
 * another type.
 */
function rolesOf(scopes: unknown): ReadonlySet<Role> {
  const list: unknown = typeof scopes === "string" ? scopes.split(" ") : scopes;
  return new Set(ROLES.filter((role) => Array.isArray(list) && list.includes(role)));
}
