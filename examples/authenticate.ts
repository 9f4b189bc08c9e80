import type { IncomingMessage } from "node:http";
import { type JWTPayload, jwtVerify } from "jose";
import { BAD_TOKEN, NO_TOKEN, type Refusal, refusalAfter } from "./refusal.ts";
import type { Freshness, Trust } from "./trust.ts";

/** What the token says, or what its request is answered. */
export type Authentication = { readonly claims: JWTPayload } | { readonly refusal: Refusal };

/** Verifies the request's token and then asks whether it is revoked. Never rejects: what cannot be told is a refusal too. */
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
