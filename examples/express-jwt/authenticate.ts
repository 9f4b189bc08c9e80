import { KeyObject } from "node:crypto";
import type { RequestHandler } from "express";
import { expressjwt, UnauthorizedError } from "express-jwt";
import type { JWSHeaderParameters } from "jose";
import { BAD_TOKEN, NO_TOKEN, type Refusal, refusalAfter } from "../refusal.ts";
import type { Freshness, Trust } from "../trust.ts";

/** Lets requests with a valid token that is not revoked pass, with its claims in `request.auth`; answers all other requests. */
export function authenticate(
  { issuer, audience, algorithms, keys, blacklist }: Trust,
  freshness: Freshness = {},
): RequestHandler {
  const verify = expressjwt({
    issuer,
    audience,
    algorithms,
    // Called before the token is verified: there may be no header yet.
    secret: async (_request, token) => {
      if (!token) throw badToken("it is no JWT");
      // jsonwebtoken ignores `crit`, although RFC 7515 requires rejecting unknown critical extensions.
      if (token.header.crit) throw badToken("it has a critical extension");
      return KeyObject.from(await keys(token.header as JWSHeaderParameters));
    },
    isRevoked: async (_request, token) => {
      const { jti, exp } = (token?.payload ?? {}) as { jti?: unknown; exp?: unknown };
      // jsonwebtoken requires neither claim. A token without jti could not be revoked, and one without exp would never expire.
      if (typeof jti !== "string" || typeof exp !== "number") throw badToken("it has no jti or no exp");
      return blacklist.isBlacklisted(jti, { ...freshness, expiresAt: exp * 1000 });
    },
  });
  return (request, response, next) => {
    void verify(request, response, (error) => {
      if (error === undefined) return next();
      const { status, headers } = refusalOf(error);
      response.status(status).set(headers).end();
    });
  };
}

function badToken(message: string): UnauthorizedError {
  return new UnauthorizedError("invalid_token", { message });
}

function refusalOf(error: unknown): Refusal {
  if (!(error instanceof UnauthorizedError)) return refusalAfter(error);
  return error.code.startsWith("credentials_") ? NO_TOKEN : BAD_TOKEN;
}
