/**
 * Signatures that are made with one key and verified with another (RFC 7518, RFC 8037, RFC 9864). Symmetric ones and `none` cannot be
 * chosen: whoever can verify such a token could also make one.
 */
const ASYMMETRIC = [
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
  "Ed25519",
] as const;

export const DEFAULT_ALGORITHMS = "RS256 PS256 ES256 EdDSA";

/** Reads names of algorithms, separated by spaces or commas. Throws a RangeError that names those there are. */
export function parseAlgorithms(text: string): readonly string[] {
  const names = text.split(/[\s,]+/).filter((name) => name !== "");
  const known: readonly string[] = ASYMMETRIC;
  if (names.length === 0 || names.some((name) => !known.includes(name))) {
    throw new RangeError(`must be one or more of ${ASYMMETRIC.join(", ")}`);
  }
  return names;
}
