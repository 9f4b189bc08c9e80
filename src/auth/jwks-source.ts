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

/** An issuer whose raw tokens can be blacklisted. */
export interface TokenIssuer {
  /** The `iss` of its tokens, compared byte for byte. */
  readonly issuer: string;
  /** Where its key set is read. */
  readonly keys: JwksSource;
}

/**
 * Parses pairs of an issuer and its key set, `https://id.example=https://id.example/jwks.json` or `...=file:/etc/keys.json`, separated by
 * white space. Throws a RangeError that gives the position of an invalid pair.
 */
export function parseTokenIssuers(text: string): readonly TokenIssuer[] {
  const issuers = text
    .split(/\s+/)
    .filter((pair) => pair !== "")
    .map((pair, index) => parsePair(pair, index + 1));
  const names = new Set(issuers.map(({ issuer }) => issuer));
  if (names.size < issuers.length) throw new RangeError("names one issuer twice");
  return issuers;
}

function parsePair(pair: string, position: number): TokenIssuer {
  const [, issuer, keys] = /^(.+?)=((?:https?:\/\/|file:).+)$/.exec(pair) ?? [];
  if (issuer === undefined || keys === undefined) {
    throw new RangeError(
      `must be pairs such as https://id.example=https://id.example/jwks.json: pair ${position} is not`,
    );
  }
  if (keys.startsWith("file:")) return { issuer, keys: { kind: "file", path: keys.slice("file:".length) } };
  try {
    return { issuer, keys: parseJwksUrl(keys) };
  } catch (error) {
    throw new RangeError(`pair ${position}: the key set's URL ${(error as Error).message}`);
  }
}
