import type { IncomingMessage } from "node:http";
import { type JWTPayload, jwtVerify } from "jose";
import { BAD_TOKEN, NO_TOKEN, type Refusal, refusalAfter } from "./refusal.ts";
import type { Freshness, Trust } from "./trust.ts";

/** The token's claims, or the response to a rejected request. */
export type Authentication = { readonly claims: JWTPayload } | { readonly refusal: Refusal };

/** Verifies the request's token and then checks whether it is revoked. Never rejects: an error of either step becomes a refusal. */
export async function authenticate(
  request: IncomingMessage,
  { issuer, audience, algorithms, keys, blacklist }: Trust,
  freshness: Freshness = {},
): Promise<Authentication> {
  const [, token] = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? "") ?? [];
  if (token === undefined) return { refusal: NO_TOKEN };
  try {
    const requiredClaims = ["exp", "jti"];
    const { payload } = await jwtVerify(token, keys, { issuer, audience, algorithms, requiredClaims });
    const { jti = "", exp = 0 } = payload;
    const isRevoked = await blacklist.isBlacklisted(jti, { ...freshness, expiresAt: exp * 1000 });
    return isRevoked ? { refusal: BAD_TOKEN } : { claims: payload };
  } catch (error) {
    return { refusal: refusalAfter(error) };
  }
}
