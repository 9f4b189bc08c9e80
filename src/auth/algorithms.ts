/**
 * The asymmetric signature algorithms that can be chosen (RFC 7518, RFC 8037, RFC 9864). Symmetric algorithms and `none` are excluded, since any
 * verifier of a symmetrically signed token could also create such tokens.
 */
const ASYMMETRIC = [
  ...["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
  ...["ES256", "ES384", "ES512", "EdDSA", "Ed25519"],
];

/**
 * Names of algorithms (of JOSE, COSE and their drafts) that are never accepted. Messages may repeat these names; an unlisted name is never
 * repeated, since it may hold anything.
 */
const REFUSED = [
  ...["HS256", "HS384", "HS512", "none", "ES256K", "Ed448", "RS1"],
  ...["ML-DSA-44", "ML-DSA-65", "ML-DSA-87", "ESB256", "ESB384", "ESB512", "SM2", "HS256/64"],
];

/** The algorithms accepted by default, as the value of the setting. */
export const DEFAULT_ALGORITHMS = "RS256 PS256 ES256 EdDSA";

/**
 * Parses names of algorithms, separated by spaces or commas. EdDSA and Ed25519 are treated as one algorithm (RFC 9864), so either name
 * includes the other. Throws a RangeError that lists the supported names.
 */
export function parseAlgorithms(text: string): readonly string[] {
  const names = text.split(/[\s,]+/).filter((name) => name !== "");
  if (names.length === 0 || !names.every(isSupportedAlgorithm)) {
    throw new RangeError(`must be one or more of ${ASYMMETRIC.join(", ")}`);
  }
  return [...new Set(names.flatMap((name) => (EDWARDS.includes(name) ? [name, ...EDWARDS] : [name])))];
}

const EDWARDS = ["EdDSA", "Ed25519"];

export function isSupportedAlgorithm(name: unknown): name is string {
  return ASYMMETRIC.some((known) => known === name);
}

/** `name` if it is a known name, which may appear in a message; otherwise undefined. */
export function quotableName(name: unknown): string | undefined {
  return [...ASYMMETRIC, ...REFUSED].find((known) => known === name);
}
