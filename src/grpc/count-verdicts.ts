import type { MessageInitShape } from "@bufbuild/protobuf";
import { type IsBlacklistedResponseSchema, Verdict } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";

/** The number of verdicts, and how many are BLACKLISTED and UNKNOWN. */
export interface VerdictCounts {
  readonly all: number;
  readonly blacklisted: number;
  readonly unknown: number;
}

export function countVerdicts(verdicts: readonly Verdict[]): VerdictCounts {
  let blacklisted = 0;
  let unknown = 0;
  for (const verdict of verdicts) {
    if (verdict === Verdict.BLACKLISTED) blacklisted++;
    else if (verdict === Verdict.UNKNOWN) unknown++;
  }
  return { all: verdicts.length, blacklisted, unknown };
}

/** The summary of a response in a log line. */
export function summarizeVerdicts({ verdicts = [] }: MessageInitShape<typeof IsBlacklistedResponseSchema>) {
  const { all: count, blacklisted, unknown } = countVerdicts(verdicts);
  return { count, blacklisted, unknown };
}
