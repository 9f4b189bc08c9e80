import {
  type BlacklistRequest,
  type BlacklistResponse,
  type IsBlacklistedRequest,
  type IsBlacklistedResponse,
  BlacklistResult_Outcome as Outcome,
  Verdict,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { malformedAnswer } from "./client-error.ts";

/** Throws unless there is exactly one known verdict per jti. */
export function validateVerdicts({ jtis }: IsBlacklistedRequest, { verdicts }: IsBlacklistedResponse): void {
  if (verdicts.length !== jtis.length) {
    throw malformedAnswer(`the service answered ${verdicts.length} verdicts to ${jtis.length} jtis`);
  }
  const odd = verdicts.find((verdict) => !isKnown(verdict, Verdict, Verdict.UNSPECIFIED));
  if (odd !== undefined) throw malformedAnswer(`the service answered verdict ${odd}, which means nothing`);
}

/** Throws unless there is exactly one result per token, for that token and with a known outcome. */
export function validateResults({ tokens }: BlacklistRequest, { results }: BlacklistResponse): void {
  if (results.length !== tokens.length) {
    throw malformedAnswer(`the service answered ${results.length} results to ${tokens.length} tokens`);
  }
  for (const [index, { token: stored, outcome }] of results.entries()) {
    if (!isKnown(outcome, Outcome, Outcome.UNSPECIFIED)) {
      throw malformedAnswer(`the service answered outcome ${outcome}, which means nothing`);
    }
    const asked = tokens[index]?.token;
    if (stored === undefined || (asked?.case === "jti" && asked.value !== stored.jti)) {
      throw malformedAnswer(`the service answered tokens[${index}] with another token`);
    }
  }
}

// proto3 enums are open: an unknown number from a later service is passed through.
function isKnown(value: number, names: Record<number, string>, unspecified: number): boolean {
  return value !== unspecified && names[value] !== undefined;
}
