import { isLoopback } from "../host-port.ts";

/** Where a JSON Web Key Set (RFC 7517) comes from. */
export type KeySource =
  | { readonly kind: "url"; readonly url: string }
  | { readonly kind: "file"; readonly path: string };

/**
 * Reads the URL of a key set. Throws a RangeError, which does not repeat the URL: whoever can change what is read there can sign
 * tokens, so it is https, or plain http on this machine.
 */
export function parseKeyUrl(text: string): KeySource {
  // URL would drop or encode it.
  if (/\s/.test(text)) throw new RangeError("must not contain white space");
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new RangeError("must be a URL");
  }
  if (url.username !== "" || url.password !== "") throw new RangeError("must not hold a user or a password");
  if (url.protocol !== "https:" && !(url.protocol === "http:" && isLoopback(url.hostname))) {
    throw new RangeError("must begin with https:// (http:// is for this machine alone)");
  }
  return { kind: "url", url: url.href };
}

export function keyFile(path: string): KeySource {
  return { kind: "file", path };
}
