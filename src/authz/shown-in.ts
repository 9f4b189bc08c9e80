import type { IncomingMessage } from "node:http";
import type { Shown } from "../auth/shown-token.ts";
import { isPreflight } from "./preflight.ts";

/** The headers that a proxy sets itself, whatever its client sends, in lower case. */
export interface TrustedHeaders {
  /** Which token it has verified. */
  readonly jtiHeader: string | undefined;
  /** By which method the request came. Undefined: by that of the question. */
  readonly methodHeader: string | undefined;
}

/** What a proxy says of a request, in the headers that it sends about it. */
export function shownIn(
  { method, headersDistinct }: Pick<IncomingMessage, "method" | "headersDistinct">,
  { jtiHeader, methodHeader }: TrustedHeaders,
): Shown {
  const valuesOf = (name: string): readonly string[] => headersDistinct[name] ?? [];
  const named = jtiHeader === undefined ? [] : valuesOf(jtiHeader);
  return {
    // Empty is what a proxy sends that has verified nothing.
    vouched: named.filter((value) => value !== "").map(jtiIn),
    // `headers` would show the first and hide the others.
    authorization: valuesOf("authorization"),
    isPreflight: isPreflight(methodHeader === undefined ? method : only(valuesOf(methodHeader)), valuesOf),
  };
}

/** The one value; none where there are several, and nobody knows whose each is. */
function only([value, ...more]: readonly string[]): string | undefined {
  return more.length === 0 ? value : undefined;
}

/**
 * The text of a header is bytes: those of UTF-8 here. Null, which no jti is, for anything else, and where a comma may stand
 * between what the client sent and what the proxy added.
 */
function jtiIn(value: string): string | null {
  if (value.includes(",")) return null;
  try {
    return UTF8.decode(Buffer.from(value, "latin1"));
  } catch {
    return null;
  }
}

/** A byte-order mark is part of a jti. */
const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
