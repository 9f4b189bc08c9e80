import {
  BlacklistResult_Outcome,
  type TokenBlacklist,
  Verdict,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import type { Blacklist } from "../blacklist/blacklist.ts";
import type { CheckAnswer, Verdict as DomainVerdict } from "../blacklist/checks.ts";
import type { Entry, Outcome } from "../entry.ts";
import { formatRevision } from "../revision.ts";
import { PageTokens } from "./page-token.ts";
import {
  readBlacklistRequest,
  readIsBlacklistedRequest,
  readListRequest,
  readPruneRequest,
} from "./requests.ts";
import { toTimestamp } from "./timestamps.ts";
import type { Handlers } from "./unary.ts";

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

/** The service in terms of the domain: messages in, messages out, and nothing else. */
export function createHandlers(blacklist: Blacklist): Handlers<typeof TokenBlacklist> {
  return {
    async blacklist(request, caller) {
      const entries = readBlacklistRequest(request, (expiresAt) => blacklist.isPast(expiresAt));
      const { results, revision } = await blacklist.add(entries, caller);
      return {
        results: results.map(({ entry, outcome }) => ({ token: tokenOf(entry), outcome: OUTCOMES[outcome] })),
        revision: formatRevision(revision),
      };
    },

    isBlacklisted(request, caller) {
      const { jtis, freshness } = readIsBlacklistedRequest(request);
      const answer = blacklist.check(jtis, freshness, caller);
      return answer instanceof Promise ? answer.then(verdictsOf) : verdictsOf(answer);
    },

    async list(request) {
      const { filter, limit } = readListRequest(request);
      const tokens = new PageTokens(await blacklist.secret());
      const position = request.pageToken === "" ? undefined : tokens.open(request.pageToken, filter);
      const { entries, hasMore, asOf } = await blacklist.list({
        filter,
        limit,
        after: position?.after,
        asOf: position?.asOf,
      });
      const last = entries.at(-1);
      return {
        tokens: entries.map(tokenOf),
        nextPageToken: hasMore && last !== undefined ? tokens.seal({ asOf, after: last }, filter) : "",
      };
    },

    async prune(request) {
      const { count, hasMore } = await blacklist.prune(readPruneRequest(request));
      return { prunedCount: count, hasMore };
    },
  };
}

function verdictsOf({ verdicts, revision }: CheckAnswer) {
  return { verdicts: verdicts.map((verdict) => VERDICTS[verdict]), revision: formatRevision(revision) };
}

function tokenOf({ jti, expiresAt, createdAt, reason, revokedBy }: Entry) {
  return {
    jti,
    expiresAt: toTimestamp(expiresAt),
    ...(createdAt === null ? {} : { createdAt: toTimestamp(createdAt) }),
    reason,
    revokedBy,
  };
}
