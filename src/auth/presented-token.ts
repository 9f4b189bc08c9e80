import type { NoJti } from "../decision.ts";
import { type Jti, jtiProblem } from "../entry.ts";
import { isRawToken } from "../raw-token.ts";
import { InvalidTokenError, unverifiedClaims } from "./verify.ts";

/** The credentials of a client's request, as reported by the proxy that received it. */
export interface PresentedCredentials {
  /** The jti of each token that the proxy has verified; undefined for a token without a jti. External input, so it may be of any type. */
  readonly verifiedJtis: readonly unknown[];
  /** The values of the `authorization` header, unmodified. */
  readonly authorization: readonly string[];
  /** Whether the request is a CORS preflight, which never carries a token. */
  readonly isPreflight?: boolean;
}

/**
 * Determines the only token that a request presents. The token may be given twice: as a verified jti and, with `unverifiedBearer`, as the
 * bearer token, whose claims are then read without verifying its signature. The result is "malformed" if there are several tokens, several
 * `authorization` values or an unreadable value, since it is unknown which token the application would use.
 */
export function presentedToken(
  { verifiedJtis, authorization }: PresentedCredentials,
  { unverifiedBearer }: { unverifiedBearer: boolean },
): { readonly jti: Jti } | { readonly jti?: undefined; readonly reason: NoJti } {
  try {
    const token = bearerToken(authorization);
    const jtis = new Set<unknown>(verifiedJtis.filter((jti) => jti !== undefined));
    if (unverifiedBearer && token !== undefined) {
      const { jti } = unverifiedClaims(token);
      // If the verified token has a jti and the bearer token has none, they are two tokens.
      if (jti !== undefined || jtis.size > 0) jtis.add(jti);
    }
    if (jtis.size === 0) {
      return { reason: verifiedJtis.length === 0 && token === undefined ? "no-token" : "no-jti" };
    }
    const [jti] = jtis;
    if (jtis.size > 1 || typeof jti !== "string" || jtiProblem(jti) !== undefined) return MALFORMED;
    return { jti: jti as Jti };
  } catch (error) {
    if (error instanceof InvalidTokenError) return MALFORMED;
    throw error;
  }
}

const MALFORMED = { reason: "malformed" } as const;

/** The bearer token; undefined if there is no header or it has another scheme. Throws InvalidTokenError if it is unclear what the header holds. */
function bearerToken([value, ...more]: readonly string[]): string | undefined {
  if (more.length > 0) throw new InvalidTokenError("must be the only credential");
  if (value === undefined) return undefined;
  const [, token] = /^Bearer +([A-Za-z0-9._~+/=-]+)$/i.exec(value) ?? [];
  // Several headers may have been joined on the way, and some applications accept a token without its scheme or without the space.
  if (token === undefined && (/\bbearer/i.test(value) || (!value.includes(" ") && isRawToken(value)))) {
    throw new InvalidTokenError("must stand alone");
  }
  return token;
}
