import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type BlacklistRequestSchema,
  type BlacklistResponse,
  BlacklistResult_Outcome as Outcome,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { textProblem } from "../entry.ts";
import type { Violation } from "../errors.ts";
import { MAX_BATCH, MAX_JWT_BYTES, MAX_RAW_TOKENS, MAX_REASON_BYTES } from "../limits.ts";
import { toTimestamp } from "../protobuf/timestamps.ts";
import type { RevocationOutcome, Revoked, TokenToRevoke } from "./blacklist-client.ts";
import { jtiViolation } from "./checked-tokens.ts";
import { malformedAnswer } from "./client-error.ts";
import { listedToken } from "./listing.ts";
import {
  dateProblem,
  invalidArgument,
  invalidArguments,
  misspeltFields,
  namesOf,
  toEpochMs,
} from "./option-problems.ts";

const OUTCOMES: Partial<Record<Outcome, RevocationOutcome>> = {
  [Outcome.CREATED]: "created",
  [Outcome.ALREADY_BLACKLISTED]: "already-blacklisted",
  [Outcome.EXTENDED]: "extended",
  [Outcome.ALREADY_EXPIRED]: "already-expired",
};

const FIELDS = namesOf<TokenToRevoke>({ jti: true, jwt: true, expiresAt: true, reason: true });

/** The request to revoke `tokens`. Throws a ClientError that names every violation and quotes no value. */
export function revocationRequest(
  tokens: readonly TokenToRevoke[],
): MessageInitShape<typeof BlacklistRequestSchema> {
  if (!Array.isArray(tokens)) throw invalidArgument("tokens", "must be an array");
  if (tokens.length === 0) throw invalidArgument("tokens", "must not be empty");
  if (tokens.length > MAX_BATCH) {
    throw invalidArgument(
      "tokens",
      `must hold at most ${MAX_BATCH}, which are revoked all or none: revoke the others with further calls`,
    );
  }
  if (tokens.filter((token) => token?.jwt !== undefined).length > MAX_RAW_TOKENS) {
    throw invalidArgument(
      "tokens",
      `must hold at most ${MAX_RAW_TOKENS} jwts: revoke the others with further calls`,
    );
  }
  const violations = tokens.flatMap((token, index) => violationsOf(token, `tokens[${index}]`));
  if (violations.length > 0) throw invalidArguments(violations);
  return { tokens: tokens.map(tokenField) };
}

function violationsOf(token: TokenToRevoke, path: string): Violation[] {
  if (typeof token !== "object" || token === null) return [{ field: path, description: "must be an object" }];
  const { jti, jwt, expiresAt, reason } = token;
  const found: Violation[] = [];
  const expect = (name: string, description: string | undefined) => {
    if (description !== undefined) found.push({ field: `${path}.${name}`, description });
  };
  for (const { field, description } of misspeltFields(token, FIELDS)) expect(field, description);
  if ((jti === undefined) === (jwt === undefined)) {
    found.push({ field: path, description: "must have either jti or jwt" });
  } else if (jwt === undefined) {
    const violation = jtiViolation(`${path}.jti`, jti);
    if (violation !== undefined) found.push(violation);
    expect("expiresAt", dateProblem(expiresAt));
  } else {
    expect("jwt", typeof jwt === "string" ? textProblem(jwt, MAX_JWT_BYTES) : "must be a string");
    expect("expiresAt", expiresAt === undefined ? undefined : "must be absent beside jwt");
  }
  if (reason !== undefined) {
    expect("reason", typeof reason === "string" ? textProblem(reason, MAX_REASON_BYTES) : "must be a string");
  }
  return found;
}

type TokenInit = NonNullable<MessageInitShape<typeof BlacklistRequestSchema>["tokens"]>[number];

function tokenField({ jti, jwt, expiresAt, reason = "" }: TokenToRevoke): TokenInit {
  return jti === undefined
    ? { token: { case: "jwt", value: jwt }, reason }
    : { token: { case: "jti", value: jti }, expiresAt: toTimestamp(toEpochMs(expiresAt)), reason };
}

/** The results and revision of a Blacklist call in the client's types. Throws a ClientError if they violate the contract. */
export function revoked({ results, revision }: BlacklistResponse): Revoked {
  if (revision === "") throw malformedAnswer("the service sent no revision");
  return {
    revision,
    results: results.map(({ token, outcome: number }) => {
      const outcome = OUTCOMES[number];
      if (token === undefined || outcome === undefined)
        throw malformedAnswer("the service sent a result without token or known outcome");
      return { ...listedToken(token), outcome };
    }),
  };
}
