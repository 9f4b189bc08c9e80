import { errors } from "jose";
import { ClientError } from "token-blacklist-client";

/** The answer to a request that may not pass. */
export interface Refusal {
  readonly status: 401 | 503;
  readonly headers: Readonly<Record<string, string>>;
}

// RFC 6750, section 3: whoever brought no token is told where one is needed, and nothing about an error.
export const NO_TOKEN: Refusal = { status: 401, headers: { "www-authenticate": 'Bearer realm="orders"' } };

export const BAD_TOKEN: Refusal = {
  status: 401,
  headers: { "www-authenticate": 'Bearer realm="orders", error="invalid_token"' },
};

/** Not 401: whoever is told that throws the session away, and it may be a good one. */
export const CANNOT_TELL: Refusal = { status: 503, headers: { "retry-after": "1" } };

/** The issuer's keys could not be read. */
const WITHOUT_KEYS = ["ERR_JOSE_GENERIC", "ERR_JWKS_INVALID", "ERR_JWKS_TIMEOUT"];

/** What comes of `error`, thrown while a token was verified or looked for in the blacklist. What is not the token's fault is nobody's answer. */
export function refusalAfter(error: unknown): Refusal {
  const isTokensFault =
    error instanceof ClientError
      ? // A jti that no token can be revoked by. What cannot be told has 503.
        error.statusCode === 401
      : error instanceof errors.JOSEError && !WITHOUT_KEYS.includes(error.code);
  return isTokensFault ? BAD_TOKEN : CANNOT_TELL;
}
