import type { Timestamp } from "@bufbuild/protobuf/wkt";
import {
  type BlacklistedToken,
  type BlacklistResponse,
  BlacklistResult_Outcome as Outcome,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { fromTimestamp } from "../protobuf/timestamps.ts";
import type { ListedToken, RevocationOutcome, Revoked } from "./blacklist-client.ts";
import { malformedAnswer } from "./client-error.ts";

const OUTCOMES: Partial<Record<Outcome, RevocationOutcome>> = {
  [Outcome.CREATED]: "created",
  [Outcome.ALREADY_BLACKLISTED]: "already-blacklisted",
  [Outcome.EXTENDED]: "extended",
  [Outcome.ALREADY_EXPIRED]: "already-expired",
};

/** An entry in the client's types. Throws a ClientError if it lacks a jti or an expiry. */
export function listedToken({ jti, expiresAt, createdAt, reason, revokedBy }: BlacklistedToken): ListedToken {
  if (jti === "" || expiresAt === undefined)
    throw malformedAnswer("the service sent an entry without jti or expiry");
  return {
    jti,
    expiresAt: date(expiresAt),
    createdAt: createdAt === undefined ? undefined : date(createdAt),
    reason,
    revokedBy,
  };
}

export function revoked({ results, revision }: BlacklistResponse): Revoked {
  if (revision === "") throw malformedAnswer("the service sent no revision");
  return {
    revision,
    results: results.map(({ token, outcome: number }) => {
      const outcome = OUTCOMES[number];
      if (token === undefined || outcome === undefined)
        throw malformedAnswer("the service sent a result without meaning");
      return { ...listedToken(token), outcome };
    }),
  };
}

function date(timestamp: Timestamp): Date {
  try {
    return new Date(fromTimestamp(timestamp));
  } catch {
    throw malformedAnswer("the service sent a time that is none");
  }
}
