import { type Jti, jtiProblem } from "../entry.ts";
import { isRawToken } from "../raw-token.ts";
import { TokenRefused, unverifiedClaims } from "./verify.ts";

/** What a request brings along, as the proxy that it came to tells it. */
export interface Shown {
  /**
   * The jti of each token that somebody has verified: text from elsewhere, or whatever stands in its place; undefined for a
   * token that has none.
   */
  readonly vouched: readonly unknown[];
  /** The values of its `authorization` header, each as it came. */
  readonly authorization: readonly string[];
  /** Whether it is a CORS preflight, which shows no token by its nature. */
  readonly isPreflight?: boolean;
}

/** Why no token is meant: none was shown; one without a jti; what is no token, or more than one. */
export type NoJti = "no-token" | "no-jti" | "malformed";

/**
 * Which token a request shows: exactly one, however often it is named. What was verified counts. With `unverifiedBearer` a bearer
 * token is read too, without a look at its signature, and must be the same one. More than one credential, or one that cannot be
 * read, is "malformed" in any case: nobody knows which of them the application would take.
 */
export function shownToken(
  { vouched, authorization }: Shown,
  { unverifiedBearer }: { unverifiedBearer: boolean },
): { readonly jti: Jti } | { readonly jti?: undefined; readonly because: NoJti } {
  try {
    const token = bearerToken(authorization);
    const named = new Set<unknown>(vouched.filter((jti) => jti !== undefined));
    if (unverifiedBearer && token !== undefined) {
      const { jti } = unverifiedClaims(token);
      // A token without a jti, beside one that has been verified and has one, is another token.
      if (jti !== undefined || named.size > 0) named.add(jti);
    }
    if (named.size === 0) {
      return { because: vouched.length === 0 && token === undefined ? "no-token" : "no-jti" };
    }
    const [jti] = named;
    if (named.size > 1 || typeof jti !== "string" || jtiProblem(jti) !== undefined) return MALFORMED;
    return { jti: jti as Jti };
  } catch (error) {
    if (error instanceof TokenRefused) return MALFORMED;
    throw error;
  }
}

const MALFORMED = { because: "malformed" } as const;

/** Undefined where there is none: no header, or another scheme. Throws TokenRefused. */
function bearerToken([value, ...more]: readonly string[]): string | undefined {
  if (more.length > 0) throw new TokenRefused("must be the only credential");
  if (value === undefined) return undefined;
  const [, token] = /^Bearer +([A-Za-z0-9._~+/=-]+)$/i.exec(value) ?? [];
  // Several headers may have been joined to one on the way, and some applications take a token without its scheme, or without the space.
  if (token === undefined && (/\bbearer/i.test(value) || (!value.includes(" ") && isRawToken(value)))) {
    throw new TokenRefused("must stand alone");
  }
  return token;
}
