import type {
  BlacklistRequest,
  IsBlacklistedRequest,
  ListRequest,
  PruneRequest,
  QuestionMetadata,
  StreamChecksRequest,
  TokenToBlacklist,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import type { VerifiedToken } from "../auth/raw-token-verifier.ts";
import { InvalidTokenError } from "../auth/verify.ts";
import type { Freshness } from "../blacklist/check-service.ts";
import {
  type EntryKey,
  type EpochMs,
  IS_RAW_TOKEN,
  type Jti,
  jtiProblem,
  type NewEntry,
  storedJtiProblem,
  textProblem,
} from "../entry.ts";
import {
  DEFAULT_DEADLINE_MS,
  DEFAULT_PAGE_SIZE,
  DEFAULT_PRUNE_COUNT,
  MAX_BATCH,
  MAX_PAGE_SIZE,
  MAX_PRUNE_COUNT,
  MAX_QUESTION_METADATA,
  MAX_QUESTION_METADATA_BYTES,
  MAX_RAW_TOKENS,
  MAX_REASON_BYTES,
  MAX_REVOKED_BY_BYTES,
} from "../limits.ts";
import { fromDuration } from "../protobuf/timestamps.ts";
import { isRawToken } from "../raw-token.ts";
import { parseRevision } from "../revision.ts";
import type { ListFilter } from "../store/store.ts";
import { clampedToTimer } from "../time/clock.ts";
import type { TokenIdentity } from "../token-identity.ts";
import { Violations } from "./violations.ts";

// Each function reads one request, and throws INVALID_REQUEST with all violations.

/** The rules for the tokens of a Blacklist request. */
interface TokenRules {
  /** Charges the caller's quota. Called before raw tokens are verified, since verification is expensive. If it throws, none is verified. */
  charge(tokens: number): Promise<void>;
  /** Verifies raw tokens. The result is in the same order, with an InvalidTokenError for each token that is not accepted. */
  identify(tokens: readonly string[]): Promise<readonly (VerifiedToken | InvalidTokenError)[]>;
  /** Whether an entry with this expiry would have no effect any more, leeway included. */
  isPast(expiresAt: EpochMs): boolean;
  /** The latest permitted expiry. */
  readonly latestExpiry: EpochMs;
  /** The caller's name, which is stored with each entry. */
  readonly revokedBy: string;
}

/** A token to blacklist. */
interface RequestedToken {
  readonly entry: NewEntry;
  /** Whether it is a raw token that has expired, so that there is nothing to blacklist. */
  readonly isExpired: boolean;
}

/** Reads the tokens to blacklist, in order. Returns a promise only if there are raw tokens to verify. */
export function readBlacklistRequest(
  { tokens, allowRawTokensAsJtis }: BlacklistRequest,
  rules: TokenRules,
): readonly RequestedToken[] | Promise<readonly RequestedToken[]> {
  const violations = new Violations();
  violations.checkBatch("tokens", tokens.length);
  const problemOf = allowRawTokensAsJtis ? storedJtiProblem : newJtiProblem;
  const batch = tokens.slice(0, MAX_BATCH);
  const rawCount = batch.filter(({ token }) => token.case === "jwt").length;
  const isWithinLimit = tokens.length <= MAX_BATCH;
  if (rawCount > MAX_RAW_TOKENS) {
    if (isWithinLimit)
      violations.add("tokens", `must hold at most ${MAX_RAW_TOKENS} jwts: send several requests`);
    violations.throwIfAny();
  }
  const read = batch.map((token, index) =>
    readToken(token, `tokens[${index}]`, { rules, violations, problemOf }),
  );
  if (rawCount > 0 && isWithinLimit) return verified(read, { rules, violations, charged: tokens.length });
  violations.throwIfAny();
  return read as RequestedToken[];
}

interface Reading {
  readonly rules: TokenRules;
  readonly violations: Violations;
}

/** A raw token that is still to be verified. */
interface UnverifiedToken {
  readonly jwt: string;
  /** The path of its field in the request. */
  readonly path: string;
  readonly reason: string;
}

/** Verifies the raw tokens among those read. `charged` is the number of tokens of the request. */
async function verified(
  read: readonly (RequestedToken | UnverifiedToken)[],
  { rules, violations, charged }: Reading & { readonly charged: number },
): Promise<readonly RequestedToken[]> {
  await rules.charge(charged);
  const identities = (await rules.identify(read.flatMap((one) => ("jwt" in one ? [one.jwt] : [])))).values();
  const requested = read.flatMap((one) => {
    if (!("jwt" in one)) return [one];
    const identity = identities.next().value as VerifiedToken | InvalidTokenError;
    if (identity instanceof InvalidTokenError) violations.add(one.path, identity.message);
    else if (identity.expiresAt > rules.latestExpiry) violations.add(one.path, TOO_FAR);
    else
      return [{ entry: entryOf(identity, one.reason, rules), isExpired: rules.isPast(identity.expiresAt) }];
    return [];
  });
  violations.throwIfAny();
  return requested;
}

function entryOf({ jti, expiresAt }: VerifiedToken, reason: string, { revokedBy }: TokenRules): NewEntry {
  return { key: jti, expiresAt, reason, revokedBy };
}

function newJtiProblem(text: string): string | undefined {
  return isRawToken(text) ? `${IS_RAW_TOKEN}, which goes into jwt` : storedJtiProblem(text);
}

function readToken(
  { token, expiresAt, reason }: TokenToBlacklist,
  path: string,
  { rules, violations, problemOf }: Reading & { readonly problemOf: (jti: string) => string | undefined },
): RequestedToken | UnverifiedToken {
  const reasonProblem = textProblem(reason, MAX_REASON_BYTES);
  if (token.case === "jwt") {
    violations.check(`${path}.reason`, reasonProblem);
    if (expiresAt !== undefined) violations.add(`${path}.expires_at`, "must not be given beside a jwt");
    return { jwt: token.value, path: `${path}.jwt`, reason };
  }
  const jti = token.value ?? "";
  violations.checkJti(`${path}.jti`, jti, problemOf(jti));
  const expiry = readExpiry(expiresAt, `${path}.expires_at`, { rules, violations });
  violations.check(`${path}.reason`, reasonProblem);
  return { entry: entryOf({ jti: jti as Jti, expiresAt: expiry }, reason, rules), isExpired: false };
}

/** The expiry, in milliseconds since 1970; meaningless if a violation is added. */
function readExpiry(
  expiresAt: TokenToBlacklist["expiresAt"],
  path: string,
  { rules, violations }: Reading,
): EpochMs {
  if (expiresAt === undefined) violations.add(path, "must be given with a jti");
  const expiry = violations.time(path, expiresAt);
  if (expiry === undefined) return 0 as EpochMs;
  if (rules.isPast(expiry)) violations.add(path, HAS_PASSED, "EXPIRY_PASSED");
  if (expiry > rules.latestExpiry) violations.add(path, TOO_FAR);
  return expiry;
}

const HAS_PASSED =
  "must not have passed already, leeway included (a token's exp counts seconds, not milliseconds)";

const TOO_FAR = "must not expire further ahead than this service allows (MAX_TOKEN_LIFETIME)";

export function readIsBlacklistedRequest({ jtis, freshness }: IsBlacklistedRequest): {
  tokens: readonly TokenIdentity[];
  freshness: Freshness;
} {
  const violations = new Violations();
  violations.checkBatch("jtis", jtis.length);
  violations.checkJtis("jtis", jtis, jtiProblem);
  const wanted = readFreshness(freshness, violations);
  violations.throwIfAny();
  return { tokens: jtis as Jti[], freshness: wanted };
}

/** The timeout of a question on a stream, in milliseconds. Throws INVALID_REQUEST if the timeout or the question's metadata is invalid. */
export function readCheckTimeout({ timeout, metadata }: StreamChecksRequest): number {
  if (timeout === undefined && metadata === undefined) return DEFAULT_DEADLINE_MS;
  const violations = new Violations();
  const ms =
    timeout === undefined ? DEFAULT_DEADLINE_MS : violations.attempt("timeout", () => fromDuration(timeout));
  violations.check("metadata.values", metadata && questionMetadataProblem(metadata));
  violations.throwIfAny();
  return clampedToTimer(ms ?? 0);
}

/** The problem of a question's metadata, worded to follow the field's name; undefined if there is none. */
export function questionMetadataProblem({ values }: QuestionMetadata): string | undefined {
  const entries = Object.entries(values);
  if (entries.length > MAX_QUESTION_METADATA) return `must have at most ${MAX_QUESTION_METADATA} names`;
  let bytes = 0;
  for (const [name, value] of entries) {
    if (name.toLowerCase() === "authorization") {
      return "must not have the name authorization: credentials are those of the stream";
    }
    bytes += Buffer.byteLength(name) + Buffer.byteLength(value);
  }
  return bytes > MAX_QUESTION_METADATA_BYTES
    ? `must have at most ${MAX_QUESTION_METADATA_BYTES} bytes, names included`
    : undefined;
}

function readFreshness(freshness: IsBlacklistedRequest["freshness"], violations: Violations): Freshness {
  if (freshness.case === "atLeastRevision") {
    const revision = parseRevision(freshness.value);
    if (revision !== undefined) return { kind: "at-least", revision };
    violations.add("at_least_revision", "must be a revision that this service returned");
  }
  if (freshness.case === "maxStaleness") {
    const ms = violations.attempt("max_staleness", () => fromDuration(freshness.value)) ?? 0;
    if (ms > 0) return { kind: "max-staleness", ms };
  }
  return { kind: "linearizable" };
}

export function readListRequest(request: ListRequest): { filter: ListFilter; limit: number } {
  const { pageSize, includeExpired, createdAfter, createdBefore, revokedBy, jtis } = request;
  const violations = new Violations();
  if (pageSize < 0) violations.add("page_size", "must not be negative");
  if (jtis.length > MAX_BATCH) violations.add("jtis", `must hold at most ${MAX_BATCH}`);
  violations.checkJtis("jtis", jtis, storedJtiProblem);
  violations.check("revoked_by", textProblem(revokedBy, MAX_REVOKED_BY_BYTES));
  const filter = {
    includeExpired,
    createdAfter: violations.time("created_after", createdAfter),
    createdBefore: violations.time("created_before", createdBefore),
    revokedBy: revokedBy === "" ? undefined : revokedBy,
    keys: jtis.length === 0 ? undefined : (jtis as Jti[]),
  };
  violations.throwIfAny();
  return { filter, limit: Math.min(pageSize || DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE) };
}

/**
 * Rejects raw tokens among the jtis of a filter, since an empty page would be read as "not revoked". Raw tokens that are stored as jtis, by an
 * older version or by an import, are accepted: `stored` returns which of the given keys have entries.
 */
export async function checkFilterTokens(
  { keys = [] }: ListFilter,
  stored: (keys: readonly EntryKey[]) => Promise<ReadonlySet<EntryKey>>,
): Promise<void> {
  const tokens = keys.filter(isRawToken);
  if (tokens.length === 0) return;
  const existing = await stored(tokens);
  const violations = new Violations();
  violations.checkJtis("jtis", keys, (jti) => (existing.has(jti as Jti) ? undefined : jtiProblem(jti)));
  violations.throwIfAny();
}

export function readPruneRequest({ maxCount, dryRun, expiredBefore }: PruneRequest): {
  limit: number;
  dryRun: boolean;
  expiredBefore: EpochMs | undefined;
} {
  const violations = new Violations();
  if (maxCount < 0) violations.add("max_count", "must not be negative");
  const before = violations.time("expired_before", expiredBefore);
  violations.throwIfAny();
  return { limit: Math.min(maxCount || DEFAULT_PRUNE_COUNT, MAX_PRUNE_COUNT), dryRun, expiredBefore: before };
}
