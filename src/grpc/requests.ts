import type {
  BlacklistRequest,
  IsBlacklistedRequest,
  ListRequest,
  PruneRequest,
  TokenToBlacklist,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import type { Freshness } from "../blacklist/checks.ts";
import { type EpochMs, type Jti, jtiProblem, type NewEntry, textProblem } from "../entry.ts";
import {
  DEFAULT_PAGE_SIZE,
  DEFAULT_PRUNE_COUNT,
  MAX_BATCH,
  MAX_PAGE_SIZE,
  MAX_PRUNE_COUNT,
  MAX_REASON_BYTES,
  MAX_REVOKED_BY_BYTES,
} from "../limits.ts";
import { parseRevision } from "../revision.ts";
import type { ListFilter } from "../store/store.ts";
import { fromDuration, fromTimestamp } from "./timestamps.ts";
import { Violations } from "./violations.ts";

// Each function reads one request, and throws INVALID_REQUEST with everything that is wrong with it.

export function readBlacklistRequest(
  { tokens }: BlacklistRequest,
  isPast: (expiresAt: EpochMs) => boolean,
): NewEntry[] {
  const found = new Violations();
  found.checkBatch("tokens", tokens.length);
  const entries = tokens
    .slice(0, MAX_BATCH)
    .map((token, index) => readToken(token, `tokens[${index}]`, { isPast, found }));
  found.throwIfAny();
  return entries;
}

function readToken(
  { token, expiresAt, reason }: TokenToBlacklist,
  path: string,
  { isPast, found }: { isPast: (expiresAt: EpochMs) => boolean; found: Violations },
): NewEntry {
  let expiry = 0 as EpochMs;
  if (token.case === "jwt") {
    found.add(
      `${path}.jwt`,
      "raw tokens are not verified by this service yet: send jti and expires_at instead",
    );
  } else {
    found.check(`${path}.jti`, jtiProblem(token.value ?? ""));
    if (expiresAt === undefined) found.add(`${path}.expires_at`, "must be given with a jti");
    else {
      const read = found.attempt(`${path}.expires_at`, () => fromTimestamp(expiresAt));
      expiry = read ?? expiry;
      if (read !== undefined && isPast(read)) {
        found.add(
          `${path}.expires_at`,
          "must not have passed already, leeway included (a token's exp counts seconds, not milliseconds)",
        );
      }
    }
  }
  found.check(`${path}.reason`, textProblem(reason, MAX_REASON_BYTES));
  return { jti: (token.value ?? "") as Jti, expiresAt: expiry, reason, revokedBy: "" };
}

export function readIsBlacklistedRequest({ jtis, freshness }: IsBlacklistedRequest): {
  jtis: readonly Jti[];
  freshness: Freshness;
} {
  const found = new Violations();
  found.checkBatch("jtis", jtis.length);
  found.checkJtis("jtis", jtis);
  const wanted = readFreshness(freshness, found);
  found.throwIfAny();
  return { jtis: jtis as Jti[], freshness: wanted };
}

function readFreshness(freshness: IsBlacklistedRequest["freshness"], found: Violations): Freshness {
  if (freshness.case === "atLeastRevision") {
    const revision = parseRevision(freshness.value);
    if (revision !== undefined) return { kind: "at-least", revision };
    found.add("at_least_revision", "must be a revision that this service returned");
  }
  if (freshness.case === "maxStaleness") {
    const ms = found.attempt("max_staleness", () => fromDuration(freshness.value)) ?? 0;
    if (ms > 0) return { kind: "max-staleness", ms };
  }
  return { kind: "linearizable" };
}

export function readListRequest(request: ListRequest): { filter: ListFilter; limit: number } {
  const { pageSize, includeExpired, createdAfter, createdBefore, revokedBy, jtis } = request;
  const found = new Violations();
  if (pageSize < 0) found.add("page_size", "must not be negative");
  if (jtis.length > MAX_BATCH) found.add("jtis", `must hold at most ${MAX_BATCH}`);
  found.checkJtis("jtis", jtis);
  found.check("revoked_by", textProblem(revokedBy, MAX_REVOKED_BY_BYTES));
  const filter = {
    includeExpired,
    createdAfter: found.time("created_after", createdAfter),
    createdBefore: found.time("created_before", createdBefore),
    revokedBy: revokedBy === "" ? undefined : revokedBy,
    jtis: jtis.length === 0 ? undefined : (jtis as Jti[]),
  };
  found.throwIfAny();
  return { filter, limit: Math.min(pageSize || DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE) };
}

export function readPruneRequest({ maxCount, dryRun, expiredBefore }: PruneRequest): {
  limit: number;
  dryRun: boolean;
  expiredBefore: EpochMs | undefined;
} {
  const found = new Violations();
  if (maxCount < 0) found.add("max_count", "must not be negative");
  const before = found.time("expired_before", expiredBefore);
  found.throwIfAny();
  return { limit: Math.min(maxCount || DEFAULT_PRUNE_COUNT, MAX_PRUNE_COUNT), dryRun, expiredBefore: before };
}
