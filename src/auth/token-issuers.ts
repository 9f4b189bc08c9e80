import { type JwksSource, parseJwksUrl } from "./jwks-source.ts";

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
