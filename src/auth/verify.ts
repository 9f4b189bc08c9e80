import { type CompactVerifyResult, compactVerify, decodeProtectedHeader, errors } from "jose";
import { MAX_JWT_BYTES } from "../limits.ts";
import { quotableName } from "./algorithms.ts";
import { type FindKey, isMismatch, type JwksCache } from "./jwks-cache.ts";

/**
 * Thrown for a token that is not accepted. `message` is worded to follow "the token", and repeats nothing of the token but the name of a known
 * algorithm.
 */
export class InvalidTokenError extends Error {
  override readonly name = "InvalidTokenError";
}

export type Claims = Readonly<Record<string, unknown>>;

/**
 * Verifies a token's signature with one of `keys` and `algorithms`, and returns its claims. The claims are not validated, except that they
 * must not be those of a security event. If no known key verifies the token, the issuer's keys are read again. `checkUnverified` is called with
 * the unverified claims before that: if it throws, the read is saved. `schedule` runs each verification of the signature; absent: at once.
 * Throws InvalidTokenError, and the errors of `checkUnverified`, `schedule` and `keys`.
 */
export async function verifiedClaims(
  token: string,
  {
    keys,
    algorithms,
    checkUnverified,
    schedule = (verify) => verify(),
  }: {
    keys: JwksCache;
    algorithms: readonly string[];
    checkUnverified?: (unverified: Claims) => void;
    schedule?: (verify: () => Promise<CompactVerifyResult>) => Promise<CompactVerifyResult>;
  },
): Promise<Claims> {
  checkShape(token);
  checkHeader(token, algorithms);
  const options = { algorithms: [...algorithms] };
  const verifyWithKey = async (find: FindKey) => {
    try {
      return await schedule(() => verifyOnce(token, find, options));
    } catch (error) {
      if (isMismatch(error)) checkUnverified?.(unverifiedClaims(token));
      throw error;
    }
  };
  try {
    return claimsOf((await keys.verifyWith(verifyWithKey)).payload);
  } catch (error) {
    throw withoutTokenText(error);
  }
}

/** The claims of an unverified token. Use them only to identify the token and to find its issuer's keys. Throws InvalidTokenError. */
export function unverifiedClaims(token: string): Claims {
  checkShape(token);
  checkType(headerOf(token));
  return claimsOf(Buffer.from(token.split(".")[1] ?? "", "base64url"));
}

/** Rejects text that cannot be a signed JWT, before any decoding. */
function checkShape(token: string): void {
  // Characters are bytes here, since the decoder rejects a token that is not ASCII.
  if (token.length > MAX_JWT_BYTES) throw new InvalidTokenError(`must be at most ${MAX_JWT_BYTES} bytes`);
  const parts = token.split(".").length;
  if (parts === 5) throw new InvalidTokenError("must be signed, not encrypted");
  if (parts !== 3) throw new InvalidTokenError("must be a signed JWT: three parts with dots between them");
}

/** Rejects unsupported headers. jose accepts any `typ`. It rejects most of the others, too, but its messages do not say what to change. */
function checkHeader(token: string, algorithms: readonly string[]): void {
  const header = headerOf(token);
  if (header.crit !== undefined)
    throw new InvalidTokenError("has a critical header parameter that is not supported");
  const { alg, kid } = header;
  if (typeof alg === "string" && /^none$/i.test(alg)) {
    throw new InvalidTokenError("must be signed: its algorithm is none");
  }
  if (typeof alg === "string" && /^HS\d+$/i.test(alg)) {
    throw new InvalidTokenError("must be signed with a private key, not with a shared secret");
  }
  if (typeof alg !== "string" || !algorithms.includes(alg)) {
    const name = quotableName(alg);
    const named = name === undefined ? "" : ` (${name})`;
    throw new InvalidTokenError(
      `is signed with an algorithm that is not accepted${named}: it must be ${algorithms.join(" or ")}`,
    );
  }
  if (kid !== undefined && typeof kid !== "string") {
    throw new InvalidTokenError("must have a kid that is text");
  }
  checkType(header);
}

function headerOf(token: string): Claims {
  try {
    return decodeProtectedHeader(token);
  } catch {
    throw new InvalidTokenError("must begin with a header in JSON");
  }
}

function checkType({ typ }: Claims): void {
  if (!isAcceptedType(typ)) {
    throw new InvalidTokenError(
      "must be an access, refresh or ID token: the typ in its header is of another kind",
    );
  }
}

async function verifyOnce(
  token: string,
  find: FindKey,
  options: { algorithms: string[] },
): Promise<CompactVerifyResult> {
  try {
    return await compactVerify(token, find, options);
  } catch (error) {
    if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error;
    // The token names no key and several keys fit it, as during a rotation.
    for await (const key of error) {
      try {
        return await compactVerify(token, key, options);
      } catch (inner) {
        if (!(inner instanceof errors.JWSSignatureVerificationFailed)) throw inner;
      }
    }
    throw new errors.JWSSignatureVerificationFailed();
  }
}

/** Replaces jose's messages, which repeat parts of the token. */
function withoutTokenText(error: unknown): unknown {
  if (error instanceof errors.JWSSignatureVerificationFailed) {
    return new InvalidTokenError("has a signature that its issuer's keys do not verify");
  }
  if (error instanceof errors.JWKSNoMatchingKey) {
    return new InvalidTokenError("is signed with a key that is not in its issuer's key set");
  }
  if (error instanceof errors.JOSEError || error instanceof TypeError) {
    return new InvalidTokenError("must be a well-formed JWT");
  }
  return error;
}

function claimsOf(payload: Uint8Array): Claims {
  let claims: unknown;
  try {
    claims = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(payload));
  } catch {
    throw new InvalidTokenError("must have claims in JSON");
  }
  if (typeof claims !== "object" || claims === null || Array.isArray(claims)) {
    throw new InvalidTokenError("must have claims in a JSON object");
  }
  if (isSecurityEvent(claims as Claims)) {
    throw new InvalidTokenError(
      "must be an access, refresh or ID token: its events claim makes it a logout token or another security event",
    );
  }
  return claims as Claims;
}

/**
 * Token types with a media type of their own (RFC 8725, 3.11: `kind+jwt`) that applications accept or renew. Okta uses
 * `okta-internal-at+jwt`.
 */
const ACCEPTED_KIND = /^(?:(?:.*-)?at|rt|id|(?:access|refresh|id)[-_]token)\+jwt$/;

/** Types of tokens that no application accepts, from issuers that write a word in place of a media type. */
const OTHER_KIND = /^(?:logout|backchannel-logout|secevent|dpop|passport)(?:[-_]?token|[-_]?jwt)?$/;

/**
 * Whether the header's `typ` is compatible with an access, refresh or ID token. True if it is absent or not a string; if it has a `+` and is
 * one of {@link ACCEPTED_KIND}; and if it has no `+`, such as `JWT`, and is not one of {@link OTHER_KIND}. False for everything else, such as
 * `logout+jwt`. Compared as media types: case-insensitively, with `application/` optional (RFC 7515, 4.1.9).
 */
export function isAcceptedType(typ: unknown): boolean {
  if (typeof typ !== "string") return true;
  const kind = typ
    .trim()
    .toLowerCase()
    .replace(/^application\//, "");
  return kind.includes("+") ? ACCEPTED_KIND.test(kind) : !OTHER_KIND.test(kind);
}

/**
 * Whether the claims are those of a security event token (RFC 8417), such as a logout token: `events` has members named by URIs. The header's
 * `typ` cannot tell, since older logout tokens have `JWT` or no `typ`.
 */
export function isSecurityEvent({ events }: Readonly<Record<string, unknown>>): boolean {
  if (typeof events !== "object" || events === null) return false;
  const names = Array.isArray(events) ? events : Object.keys(events);
  return names.some((name) => typeof name === "string" && URI.test(name));
}

const URI = /^[a-z][a-z0-9+.-]*:\S/i;
