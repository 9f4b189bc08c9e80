import { isLoopback } from "../connections/host-port.ts";

/** The source of a JSON Web Key Set (RFC 7517). */
export type JwksSource =
  | { readonly kind: "url"; readonly url: string }
  | { readonly kind: "file"; readonly path: string };

/**
 * Parses the URL of a key set. Requires https, or http to a loopback address, since control of the content is the power to sign tokens.
 * Throws a RangeError that does not repeat the URL.
 */
export function parseJwksUrl(text: string): JwksSource {
  // URL would drop or encode white space.
  if (/\s/.test(text)) throw new RangeError("must not contain white space");
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new RangeError("must be a URL");
  }
  if (url.username !== "" || url.password !== "")
    throw new RangeError("must not contain a user name or a password");
  if (url.protocol !== "https:" && !(url.protocol === "http:" && isLoopback(url.hostname))) {
    throw new RangeError("must begin with https:// (http:// only for loopback addresses)");
  }
  return { kind: "url", url: url.href };
}
