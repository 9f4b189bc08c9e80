import {
  BlacklistResult_Outcome,
  type ListRequest,
  type TokenBlacklist,
  Verdict,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { FairTurns } from "../admission/fair-turns.ts";
import type { RawTokenVerifier } from "../auth/raw-token-verifier.ts";
import type { Blacklist } from "../blacklist/blacklist.ts";
import type { CheckAnswer, Verdict as DomainVerdict } from "../blacklist/check-service.ts";
import type { TokenResult } from "../blacklist/merge-writes.ts";
import { type Entry, MAX_EPOCH_MS, type NewEntry, type Outcome } from "../entry.ts";
import type { Metrics, VerdictCounts } from "../metrics/metrics.ts";
import { toTimestamp } from "../protobuf/timestamps.ts";
import { formatRevision } from "../revision.ts";
import { jtiOf } from "../token-identity.ts";
import type { Handlers } from "./answered-call.ts";
import { PageTokens } from "./page-token.ts";
import {
  checkFilterTokens,
  readBlacklistRequest,
  readIsBlacklistedRequest,
  readListRequest,
  readPruneRequest,
} from "./requests.ts";

const OUTCOMES: Record<Outcome, BlacklistResult_Outcome> = {
  created: BlacklistResult_Outcome.CREATED,
  "already-blacklisted": BlacklistResult_Outcome.ALREADY_BLACKLISTED,
  extended: BlacklistResult_Outcome.EXTENDED,
};

const VERDICTS: Record<DomainVerdict, Verdict> = {
  blacklisted: Verdict.BLACKLISTED,
  "not-blacklisted": Verdict.NOT_BLACKLISTED,
  unknown: Verdict.UNKNOWN,
};

/**
 * Maximum number of List and Prune calls in progress, in total and per caller. The database's pool has four connections; one remains free for
 * Blacklist.
 */
const MAX_POOL_CALLS = 3;
const MAX_POOL_CALLS_PER_CALLER = 2;

interface Setup {
  readonly metrics: Pick<Metrics, "answered">;
  readonly blacklist: Blacklist;
  readonly rawTokenVerifier: RawTokenVerifier;
  /** How far in the future the expiry of a token to blacklist may lie; 0 for no limit. */
  readonly maxTokenLifetimeMs: number;
}

/** The handlers of the service. They translate messages to the domain and back, and bound the calls that use the database's pool. */
export function createHandlers({
  metrics,
  blacklist,
  rawTokenVerifier,
  maxTokenLifetimeMs,
}: Setup): Handlers<typeof TokenBlacklist> {
  const respond = ({ verdicts, revision }: CheckAnswer) => {
    const response = {
      verdicts: verdicts.map((verdict) => VERDICTS[verdict]),
      revision: formatRevision(revision),
    };
    metrics.answered(countVerdicts(response.verdicts));
    return response;
  };
  const turns = new FairTurns({ maxInProgress: MAX_POOL_CALLS, maxPerCaller: MAX_POOL_CALLS_PER_CALLER });
  const list = async ({ pageToken }: ListRequest, { filter, limit }: ReturnType<typeof readListRequest>) => {
    // Only for a raw token does this read the database, which may have an entry for exactly that text.
    await checkFilterTokens(filter, (keys) => blacklist.storedAmong(keys));
    const pageTokens = new PageTokens(await blacklist.secret());
    const position = pageToken === "" ? undefined : pageTokens.open(pageToken, filter);
    const { entries, hasMore, asOf } = await blacklist.list({
      filter,
      limit,
      after: position?.after,
      asOf: position?.asOf,
    });
    const last = entries.at(-1);
    return {
      tokens: entries.map(tokenOf),
      nextPageToken: hasMore && last !== undefined ? pageTokens.seal({ asOf, after: last }, filter) : "",
    };
  };
  return {
    async blacklist(request, caller) {
      const allowance = blacklist.allowance(caller);
      try {
        const tokens = await readBlacklistRequest(request, {
          charge: (count) => allowance.reserve(count),
          identify: (raw) => rawTokenVerifier.identify(raw, caller),
          isPast: (expiresAt) => blacklist.isPast(expiresAt),
          latestExpiry: maxTokenLifetimeMs === 0 ? MAX_EPOCH_MS : blacklist.lifetimeEnd(maxTokenLifetimeMs),
          revokedBy: caller.principal.name,
        });
        const entries = tokens.filter(({ isExpired }) => !isExpired).map(({ entry }) => entry);
        const { results, revision } =
          entries.length === 0
            ? { results: [], revision: await blacklist.revision() }
            : await blacklist.add(entries, caller, allowance);
        const written = results.values();
        return {
          results: tokens.map(({ entry, isExpired }) =>
            isExpired ? expiredResultOf(entry) : resultOf(written.next().value as TokenResult),
          ),
          revision: formatRevision(revision),
        };
      } finally {
        // Returns the reserved quota if no entry was added. No effect after `blacklist.add`, which has settled the allowance.
        allowance.settle(0);
      }
    },

    isBlacklisted(request, caller) {
      const { tokens, freshness } = readIsBlacklistedRequest(request);
      const answer = blacklist.check(tokens, freshness, caller);
      return answer instanceof Promise ? answer.then(respond) : respond(answer);
    },

    list(request, caller) {
      const query = readListRequest(request);
      return turns.run(caller, () => list(request, query));
    },

    prune(request, caller) {
      const task = readPruneRequest(request);
      return turns.run(caller, async () => {
        const { count, hasMore } = await blacklist.prune(task);
        return { prunedCount: count, hasMore };
      });
    },
  };
}

/** How many of the `verdicts` there are, and how many are BLACKLISTED and UNKNOWN. */
export function countVerdicts(verdicts: readonly Verdict[]): VerdictCounts {
  let blacklisted = 0;
  let unknown = 0;
  for (const verdict of verdicts) {
    if (verdict === Verdict.BLACKLISTED) blacklisted++;
    else if (verdict === Verdict.UNKNOWN) unknown++;
  }
  return { count: verdicts.length, blacklisted, unknown };
}

function resultOf({ entry, outcome }: TokenResult) {
  return { token: tokenOf(entry), outcome: OUTCOMES[outcome] };
}

/** The result for an expired raw token, which is not stored. */
function expiredResultOf({ key, expiresAt }: NewEntry) {
  return {
    token: { jti: jtiOf(key), expiresAt: toTimestamp(expiresAt) },
    outcome: BlacklistResult_Outcome.ALREADY_EXPIRED,
  };
}

function tokenOf({ key, expiresAt, createdAt, reason, revokedBy }: Entry) {
  return {
    jti: jtiOf(key),
    expiresAt: toTimestamp(expiresAt),
    ...(createdAt === null ? {} : { createdAt: toTimestamp(createdAt) }),
    reason,
    revokedBy,
  };
}
