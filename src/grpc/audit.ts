import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { TimestampSchema } from "@bufbuild/protobuf/wkt";
import {
  type BlacklistRequest,
  type BlacklistResponseSchema,
  BlacklistResult_Outcome as Outcome,
  type PruneRequest,
  type PruneResponseSchema,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { jtiProblem } from "../entry.ts";
import { fromTimestamp } from "../protobuf/timestamps.ts";
import { withoutRawTokens } from "../raw-token.ts";
import type { CallResult } from "./call-log.ts";

/** Maximum number of tokens in one line of the audit log, which have at most 40 kB with their reasons. More tokens need several lines. */
export const AUDITED_TOKENS_PER_LINE = 50;

type BlacklistOutput = MessageInitShape<typeof BlacklistResponseSchema>;
type PruneOutput = MessageInitShape<typeof PruneResponseSchema>;

/**
 * Describes a request and its result for the audit log: an object for each line, at least one. Raw tokens never appear, even if they were
 * sent in place of other values.
 */
export type DescribeForAudit<I, O> = (request: I, result: CallResult<O>) => readonly object[];

export const describeBlacklist: DescribeForAudit<BlacklistRequest, BlacklistOutput> = (
  { tokens },
  result,
) => {
  const summary = {
    count: tokens.length,
    ...(result.output === undefined ? {} : { outcomes: countOutcomes(result.output) }),
  };
  const audited = auditedTokens(tokens, result);
  const parts = Array.from({ length: Math.ceil(audited.length / AUDITED_TOKENS_PER_LINE) }, (_, part) =>
    audited.slice(part * AUDITED_TOKENS_PER_LINE, (part + 1) * AUDITED_TOKENS_PER_LINE),
  );
  return parts.length === 0 ? [summary] : parts.map((part) => ({ ...summary, tokens: part }));
};

/** The tokens that were revoked or, if the outcome is unknown, were possibly revoked. */
function auditedTokens(
  tokens: BlacklistRequest["tokens"],
  { output, outcomeUnknown }: CallResult<BlacklistOutput>,
): object[] {
  if (output !== undefined) {
    return tokens.map((requested, index) => {
      const { token, outcome } = output.results?.[index] ?? {};
      const jti = token?.jti ?? "";
      // The requested expiry: the stored entry may have a later one. For a raw token, the expiry in its claims, which the response has.
      const expiresAt = requested.token.case === "jwt" ? token?.expiresAt : requested.expiresAt;
      return auditedTokenOf({ ...requested, jti, expiresAt }, outcomeName(outcome));
    });
  }
  if (!outcomeUnknown) return [];
  return tokens.flatMap(({ token, expiresAt, reason }) =>
    token.case === "jti" && jtiProblem(token.value) === undefined
      ? [auditedTokenOf({ jti: token.value, expiresAt, reason })]
      : [],
  );
}

interface AuditedToken {
  readonly jti: string;
  readonly expiresAt: MessageInitShape<typeof TimestampSchema> | undefined;
  readonly reason: string;
}

/** The fields of one token in the audit log, with its outcome if known. */
function auditedTokenOf({ jti, expiresAt, reason }: AuditedToken, outcome?: string): object {
  return {
    // An import may store raw tokens as jtis (see `allow_raw_tokens_as_jtis`), and a reason is arbitrary text.
    jti: withoutRawTokens(jti),
    ...(outcome === undefined ? {} : { outcome }),
    ...(expiresAt === undefined ? {} : { expires_at: timeOf(create(TimestampSchema, expiresAt)) }),
    ...(reason === "" ? {} : { reason: withoutRawTokens(reason) }),
  };
}

function countOutcomes({ results = [] }: BlacklistOutput): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { outcome } of results) {
    const name = outcomeName(outcome);
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}

function outcomeName(outcome: Outcome = Outcome.UNSPECIFIED): string {
  return (Outcome[outcome] ?? "UNSPECIFIED").toLowerCase();
}

export const describePrune: DescribeForAudit<PruneRequest, PruneOutput> = (request, { output }) => [
  {
    max_count: request.maxCount,
    dry_run: request.dryRun,
    ...(request.expiredBefore === undefined ? {} : { expired_before: timeOf(request.expiredBefore) }),
    ...(output === undefined ? {} : { pruned_count: output.prunedCount, has_more: output.hasMore }),
  },
];

/** The time in ISO 8601; undefined if `timestamp` is out of range. */
function timeOf(timestamp: NonNullable<PruneRequest["expiredBefore"]>): string | undefined {
  try {
    return new Date(fromTimestamp(timestamp)).toISOString();
  } catch {
    return undefined;
  }
}
