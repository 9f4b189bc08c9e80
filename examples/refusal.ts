import { errors } from "jose";
import { ClientError } from "token-blacklist-client";

/** The response to a rejected request. */
export interface Refusal {
  readonly status: 401 | 503;
  readonly headers: Readonly<Record<string, string>>;
}

// RFC 6750, section 3: a request without a token is told the scheme, and no error.
export const NO_TOKEN: Refusal = { status: 401, headers: { "www-authenticate": 'Bearer realm="orders"' } };

export const BAD_TOKEN: Refusal = {
  status: 401,
  headers: { "www-authenticate": 'Bearer realm="orders", error="invalid_token"' },
};

/** Not 401, which would make a client end a session that may be valid. */
export const CANNOT_TELL: Refusal = { status: 503, headers: { "retry-after": "1" } };

/** Errors of jose when the issuer's keys could not be read. */
const WITHOUT_KEYS = ["ERR_JOSE_GENERIC", "ERR_JWKS_INVALID", "ERR_JWKS_TIMEOUT"];

/**
 * The response to `error`, thrown while a token was verified or checked. Errors that are not the token's fault become {@link
 * CANNOT_TELL}.
 */
export function refusalAfter(error: unknown): Refusal {
  const isTokensFault =
    error instanceof ClientError
      ? // The jti is invalid, so no token with it can be revoked. An unanswered check has status 503.
        error.statusCode === 401
      : error instanceof errors.JOSEError && !WITHOUT_KEYS.includes(error.code);
  return isTokensFault ? BAD_TOKEN : CANNOT_TELL;
}
