import type { IncomingMessage } from "node:http";
import type { Shown } from "../auth/shown-token.ts";

/** What a proxy says of a request, in the headers that it sends about it. */
export function shownIn(
  { headersDistinct }: Pick<IncomingMessage, "headersDistinct">,
  { jtiHeader }: { jtiHeader: string | undefined },
): Shown {
  const named = jtiHeader === undefined ? [] : (headersDistinct[jtiHeader] ?? []);
  return {
    // Empty is what a proxy sends that has verified nothing.
    vouched: named.filter((value) => value !== "").map(jtiIn),
    // `headers` would show the first and hide the others.
    authorization: headersDistinct.authorization ?? [],
  };
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
