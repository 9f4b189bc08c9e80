import type { IncomingMessage } from "node:http";
import type { PresentedCredentials } from "../auth/presented-token.ts";
import type { Authz } from "../config/authz.ts";

/** The names of the headers that the proxy itself sets, overriding those of its client. */
export type TrustedHeaders = Pick<Authz, "jtiHeader" | "methodHeader">;

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
    // All values: of several, Node.js's `headers` has only the first.
    authorization: valuesOf("authorization"),
    isPreflight: isPreflight(
      methodHeader === undefined ? method : singleValue(valuesOf(methodHeader)),
      valuesOf,
    ),
  };
}

/** The only value; undefined if there is none, or several: it is then unknown which of them the proxy has set. */
function singleValue([value, ...more]: readonly string[]): string | undefined {
  return more.length === 0 ? value : undefined;
}

/**
 * Decodes a jti from a header value in UTF-8. Returns null, which is treated as an invalid jti, if the value is not UTF-8, or contains a
 * comma: it may then be the client's value joined with the proxy's.
 */
function decodeJti(value: string): string | null {
  if (value.includes(",")) return null;
  try {
    return UTF8.decode(Buffer.from(value, "latin1"));
  } catch {
    return null;
  }
}

/** With `ignoreBOM`, a byte order mark is kept as part of the jti. */
const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Whether a request is a CORS preflight as browsers send it (Fetch Standard, "CORS-preflight request"): its method is OPTIONS, and it has
 * exactly one `Origin` and one `Access-Control-Request-Method`. It has no credentials. It has no body, since a body could hide another
 * request, and no header that some applications read in place of the method. `valuesOf` returns the values of a header by its lower-case name.
 */
export function isPreflight(
  method: string | undefined,
  valuesOf: (name: string) => readonly string[],
): boolean {
  const isSingle = (name: string) => {
    const [value, ...more] = valuesOf(name);
    return value !== undefined && value !== "" && more.length === 0;
  };
  return (
    method === "OPTIONS" &&
    isSingle("origin") &&
    isSingle("access-control-request-method") &&
    NEVER_SENT.every((name) => valuesOf(name).length === 0) &&
    valuesOf("content-length").every((length) => length === "0")
  );
}

/** Headers that no preflight has. */
const NEVER_SENT = [
  ...["authorization", "cookie"],
  ...["content-type", "transfer-encoding"],
  ...["x-http-method-override", "x-http-method", "x-method-override"],
];
