import { createPublicKey } from "node:crypto";
import type { JWK } from "jose";
import { isSupportedAlgorithm, quotableName } from "./algorithms.ts";
import { JwksError } from "./fetch-jwks.ts";

/** Maximum number of keys in a set: a token that names no key is tried with each key. Providers publish fewer than ten. */
export const MAX_KEYS = 1000;

/** A parsed key set, without keys for other purposes than signatures. */
export interface ParsedJwks {
  /** At least one key. */
  readonly usable: readonly JWK[];
  /** The unusable keys. `position` counts from 1. `problem` is worded to follow "the key", and repeats no part of the key. */
  readonly unusable: readonly {
    readonly position: number;
    readonly kid: string | undefined;
    readonly problem: string;
  }[];
}

/** Maximum number of unusable keys that a message lists. */
const MAX_LISTED = 5;

/**
 * Parses the JSON of a key set, ignoring keys for other purposes than signatures. Throws a JwksError if the text is not a key set or has no
 * usable key, so that it cannot replace a good key set.
 */
export function parseJwks(text: string): ParsedJwks {
  const { keys } = parseSet(text);
  if (keys.length === 0) throw new JwksError("the key set is empty");
  if (keys.length > MAX_KEYS) throw new JwksError(`the key set has more than ${MAX_KEYS} keys`);
  const usable: JWK[] = [];
  const unusable: ParsedJwks["unusable"][number][] = [];
  for (const [index, value] of keys.entries()) {
    const classified = classifyKey(value);
    if (classified === "other-purpose") continue;
    if ("key" in classified) usable.push(classified.key);
    else {
      const { kid } = (value ?? {}) as { kid?: unknown };
      const { problem } = classified;
      unusable.push({ position: index + 1, kid: typeof kid === "string" ? kid : undefined, problem });
    }
  }
  if (usable.length === 0) {
    const why = unusable.length === 0 ? "no key is for signatures" : listProblems(unusable);
    throw new JwksError(`the key set has no usable key: ${why}`);
  }
  return { usable, unusable };
}

/** The problems of unusable keys, in one line. */
export function listProblems(unusable: ParsedJwks["unusable"]): string {
  const texts = unusable.slice(0, MAX_LISTED).map(({ position, problem }) => `key ${position} ${problem}`);
  if (unusable.length > MAX_LISTED) texts.push(`${unusable.length - MAX_LISTED} more cannot be used`);
  return texts.join("; ");
}

function parseSet(text: string): { keys: readonly unknown[] } {
  let read: unknown;
  try {
    read = JSON.parse(text);
  } catch {
    throw new JwksError(`the key set is not JSON${insteadOfJson(text)}`);
  }
  const keys = (read as { keys?: unknown } | null)?.keys;
  if (!Array.isArray(keys)) throw new JwksError(`the content is not a JSON Web Key Set${insteadOfSet(read)}`);
  return { keys };
}

/** A hint for what was given instead of JSON, without repeating any of it. */
function insteadOfJson(text: string): string {
  const start = text.trimStart();
  if (start === "") return ": it is empty";
  if (start.startsWith("-----BEGIN")) return ": it is PEM: convert it to a JSON Web Key Set";
  if (start.startsWith("<")) return ": it is a page of HTML or XML";
  if (start.startsWith("\u001F\uFFFD")) return ": it is compressed";
  if (text.includes("\0")) return ": it is binary, or in an encoding other than UTF-8";
  return "";
}

function insteadOfSet(read: unknown): string {
  if (Array.isArray(read)) return ': it is a list: wrap it in an object, {"keys": [...]}';
  if (typeof read !== "object" || read === null) return "";
  if ("jwks_uri" in read) return ": it is the provider's discovery document: use its jwks_uri";
  if ("kty" in read) return ': it is a single key: wrap it in a set, {"keys": [...]}';
  const isPem = (value: unknown) => typeof value === "string" && value.startsWith("-----BEGIN");
  if (Object.values(read).some(isPem)) return ": it contains certificates or keys in PEM";
  return "";
}

/** Minimum size of an RSA key in bits: RFC 7518, sections 3.3 and 3.5, and jose reject shorter keys. */
const MIN_RSA_BITS = 2048;

/**
 * The usability of one element of a key set: a public key that can verify signatures, a key for another purpose, or an unusable key.
 * `problem` is worded to follow "the key", and repeats no part of the key.
 */
export type ClassifiedKey = { readonly key: JWK } | { readonly problem: string } | "other-purpose";

/** Members that only private or shared keys have (RFC 7518, sections 6.2.2, 6.3.2 and 6.4; RFC 9964). */
const SECRET_MEMBERS = ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"];
/** The key types (`kty`) of elliptic curves, with the curves (`crv`) for which there is a supported algorithm. */
const CURVES: Readonly<Record<string, readonly string[] | undefined>> = {
  EC: ["P-256", "P-384", "P-521"],
  OKP: ["Ed25519"],
};
/** The curve of each algorithm. */
const CURVE_OF: Readonly<Record<string, string>> = {
  ES256: "P-256",
  ES384: "P-384",
  ES512: "P-521",
  EdDSA: "Ed25519",
  Ed25519: "Ed25519",
};

/** Classifies `value`, an element of a key set's `keys`. */
export function classifyKey(value: unknown): ClassifiedKey {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return { problem: "is not a JSON object" };
  }
  const jwk = value as Readonly<Record<string, unknown>>;
  const { kty, use, key_ops: operations, alg } = jwk;
  if (kty === "oct") return { problem: "is a shared secret, which must not be published" };
  if (SECRET_MEMBERS.some((name) => jwk[name] !== undefined)) {
    return { problem: "contains a private key, which must not be published" };
  }
  if (use !== undefined && use !== "sig") return "other-purpose";
  if (operations !== undefined && !Array.isArray(operations))
    return { problem: "has key_ops that are not a list" };
  if (operations?.includes("verify") === false) return "other-purpose";
  if (isForEncryption(jwk)) return "other-purpose";
  const problem = problemOfType(jwk) ?? problemOfAlgorithm(jwk);
  if (problem !== undefined) return { problem };
  const { crv, n, e, x, y, kid } = jwk;
  const key = withoutAbsent({
    ...{ kty, crv, n, e, x, y },
    // A token's header can name a key only by text.
    kid: typeof kid === "string" ? kid : undefined,
    // With the curve Ed25519, EdDSA and Ed25519 are names of one algorithm (RFC 9864), so the key is usable under both.
    alg: kty === "OKP" ? undefined : alg,
  }) as JWK;
  const parameterProblem = problemOfParameters(key, jwk);
  return parameterProblem === undefined ? { key } : { problem: parameterProblem };
}

function isForEncryption({ kty, crv, alg }: Readonly<Record<string, unknown>>): boolean {
  if (kty === "OKP" && (crv === "X25519" || crv === "X448")) return true;
  return typeof alg === "string" && /^(RSA1_5|RSA-OAEP|ECDH-ES)/.test(alg);
}

function problemOfType({ kty, crv }: Readonly<Record<string, unknown>>): string | undefined {
  if (typeof kty !== "string") return "has no kty";
  if (kty === "RSA") return undefined;
  const curves = Object.hasOwn(CURVES, kty) ? CURVES[kty] : undefined;
  if (curves === undefined) return "has a kty that is not supported";
  return curves.includes(crv as string) ? undefined : `has a crv that is not ${curves.join(" or ")}`;
}

function problemOfAlgorithm({ kty, crv, alg }: Readonly<Record<string, unknown>>): string | undefined {
  if (alg === undefined) return undefined;
  if (!isSupportedAlgorithm(alg)) return `is for ${quotableName(alg) ?? "an alg"}, which is not supported`;
  const isMatch = kty === "RSA" ? /^[RP]S/.test(alg) : CURVE_OF[alg] === crv;
  return isMatch ? undefined : "has an alg that does not fit its kty or crv";
}

function problemOfParameters(key: JWK, { x5c }: Readonly<Record<string, unknown>>): string | undefined {
  try {
    const { asymmetricKeyDetails } = createPublicKey({ key, format: "jwk" });
    const bits = asymmetricKeyDetails?.modulusLength;
    if (bits === undefined || bits >= MIN_RSA_BITS) return undefined;
    return `is an RSA key of ${bits} bits, and must have at least ${MIN_RSA_BITS}`;
  } catch {
    return x5c !== undefined && key.n === undefined && key.x === undefined
      ? "has a certificate (x5c) but no key parameters"
      : "has parameters that do not form a public key";
  }
}

function withoutAbsent(members: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));
}
