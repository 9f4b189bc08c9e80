import type { IncomingMessage } from "node:http";
import type { PresentedCredentials } from "../auth/presented-token.ts";
import { isPreflight } from "./preflight.ts";

/** Names, in lower case, of headers that the proxy itself sets, overriding those of its client. */
export interface TrustedHeaders {
  /** Holds the jti of the token that the proxy has verified. */
  readonly jtiHeader: string | undefined;
  /** Holds the method of the original request. Undefined: the proxy's request has the same method. */
  readonly methodHeader: string | undefined;
}

/** Reads the credentials of a request from the headers that the proxy sends. */
export function presentedCredentials(
  { method, headersDistinct }: Pick<IncomingMessage, "method" | "headersDistinct">,
  { jtiHeader, methodHeader }: TrustedHeaders,
): PresentedCredentials {
  const valuesOf = (name: string): readonly string[] => headersDistinct[name] ?? [];
  const jtiValues = jtiHeader === undefined ? [] : valuesOf(jtiHeader);
  return {
    // A proxy that has verified no token sends an empty value.
    verifiedJtis: jtiValues.filter((value) => value !== "").map(decodeJti),
    // `headers` would keep the first value and hide the others.
    authorization: valuesOf("authorization"),
    isPreflight: isPreflight(
      methodHeader === undefined ? method : singleValue(valuesOf(methodHeader)),
      valuesOf,
    ),
  };
}

/** The single value; undefined if there are several, since their origin is then unknown. */
function singleValue([value, ...more]: readonly string[]): string | undefined {
  return more.length === 0 ? value : undefined;
}

/**
 * Decodes a jti from a header value in UTF-8. Returns null, which callers treat as an invalid jti, if the value is not UTF-8, or contains
 * a comma: it may then be the client's value joined with the proxy's.
 */
function decodeJti(value: string): string | null {
  if (value.includes(",")) return null;
  try {
    return UTF8.decode(Buffer.from(value, "latin1"));
  } catch {
    return null;
  }
}

/** A byte order mark is kept as part of the jti. */
const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
