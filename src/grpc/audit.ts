import type { MessageInitShape } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import {
  type BlacklistRequest,
  type BlacklistResponseSchema,
  BlacklistResult_Outcome as Outcome,
  type PruneRequest,
  type PruneResponseSchema,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { jtiProblem } from "../entry.ts";
import { MAX_AUDITED_JTIS } from "../limits.ts";
import { isRawToken } from "../raw-token.ts";
import { fromTimestamp } from "./timestamps.ts";

type Blacklisted = MessageInitShape<typeof BlacklistResponseSchema>;
type Pruned = MessageInitShape<typeof PruneResponseSchema>;

/** What an audit line says of a request and of what came of it. Never a raw token, nor anything that failed to be one. */
export type Describe<I, O> = (request: I, end: { output: O | undefined; code: status }) => object;

export const describeBlacklist: Describe<BlacklistRequest, Blacklisted> = ({ tokens }, end) => {
  const jtis = revoked(tokens, end);
  return {
    count: tokens.length,
    ...(end.output === undefined ? {} : { outcomes: countOutcomes(end.output) }),
    ...(jtis.length === 0 ? {} : { jtis: jtis.slice(0, MAX_AUDITED_JTIS).map(withoutToken) }),
  };
};

/** The jtis that are revoked, or may be. */
function revoked(
  tokens: BlacklistRequest["tokens"],
  { output, code }: { output: Blacklisted | undefined; code: status },
): string[] {
  if (output !== undefined) return (output.results ?? []).map(({ token }) => token?.jti ?? "");
  if (!OUTCOME_UNKNOWN.has(code)) return [];
  return tokens.flatMap(({ token }) =>
    token.case === "jti" && jtiProblem(token.value) === undefined ? [token.value] : [],
  );
}

/** An import may store raw tokens: see `allow_raw_tokens_as_jtis`. */
function withoutToken(jti: string): string {
  return isRawToken(jti) ? RAW_TOKEN : jti;
}

const RAW_TOKEN = "(a raw token)";

const OUTCOME_UNKNOWN = new Set([
  status.UNAVAILABLE,
  status.DEADLINE_EXCEEDED,
  status.CANCELLED,
  status.INTERNAL,
]);

function countOutcomes({ results = [] }: Blacklisted): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { outcome } of results) {
    const name = (Outcome[outcome ?? Outcome.UNSPECIFIED] ?? "UNSPECIFIED").toLowerCase();
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}

export const describePrune: Describe<PruneRequest, Pruned> = (request, { output }) => ({
  max_count: request.maxCount,
  dry_run: request.dryRun,
  ...(request.expiredBefore === undefined ? {} : { expired_before: timeOf(request.expiredBefore) }),
  ...(output === undefined ? {} : { pruned_count: output.prunedCount, has_more: output.hasMore }),
});

function timeOf(timestamp: NonNullable<PruneRequest["expiredBefore"]>): string | undefined {
  try {
    return new Date(fromTimestamp(timestamp)).toISOString();
  } catch {
    return undefined;
  }
}
