import type { IncomingMessage } from "node:http";
import type { PresentedCredentials } from "../auth/presented-token.ts";
import { isPreflight } from "./preflight.ts";

/** Names, in lower case, of headers that the proxy itself sets, overriding those of its client. */
export interface TrustedHeaders {
  /** Holds the jti of the token that the proxy has verified. */
  readonly jtiHeader: string | undefined;
  /** Holds the method of the original request. Undefined: that of the request from the proxy. */
  readonly methodHeader: string | undefined;
}

/** Reads the credentials of a request from the headers that the proxy sends. */
export function presentedCredentials(
  { method, headersDistinct }: Pick<IncomingMessage, "method" | "headersDistinct">,
  { jtiHeader, methodHeader }: TrustedHeaders,
): PresentedCredentials {
  const valuesOf = (name: string): readonly string[] => headersDistinct[name] ?? [];
  const named = jtiHeader === undefined ? [] : valuesOf(jtiHeader);
  return {
    // A proxy that has verified no token sends an empty value.
    verifiedJtis: named.filter((value) => value !== "").map(jtiIn),
    // `headers` would keep the first value and hide the others.
    authorization: valuesOf("authorization"),
    isPreflight: isPreflight(methodHeader === undefined ? method : only(valuesOf(methodHeader)), valuesOf),
  };
}

/** The single value; undefined if there are several, since their origin is then unknown. */
function only([value, ...more]: readonly string[]): string | undefined {
  return more.length === 0 ? value : undefined;
}

/**
 * Decodes a header value from UTF-8. Null, which is not a valid jti, if it is not UTF-8 or contains a comma, which may separate the
 * client's value from the proxy's.
 */
function jtiIn(value: string): string | null {
  if (value.includes(",")) return null;
  try {
    return UTF8.decode(Buffer.from(value, "latin1"));
  } catch {
    return null;
  }
}

/** A byte order mark is kept as part of the jti. */
const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
