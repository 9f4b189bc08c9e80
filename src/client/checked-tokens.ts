import type { MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import type { IsBlacklistedRequestSchema } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { jtiProblem } from "../entry.ts";
import type { Violation } from "../errors.ts";
import { isRawToken } from "../raw-token.ts";
import type { TokenIdentity } from "../token-identity.ts";
import type { ClientError } from "./client-error.ts";
import { invalidArguments } from "./option-problems.ts";

// The tokens that callers ask about: when a token is valid, and how a request names tokens and the freshness of the answer.

/** A token as callers name it, not validated: its jti. */
export type TokenInput = string;

/** Whether `token` has the type of a {@link TokenInput}. Checked at run time for callers without a type checker. */
export function isTokenInput(token: unknown): token is TokenInput {
  return typeof token === "string";
}

/** What a copy looks a token up by: its jti. The token need not be valid; no entry matches an invalid token. */
export function identityOf(token: TokenInput): TokenIdentity {
  return token as TokenIdentity;
}

/** The key under which a positive answer is cached. Different tokens have different keys. */
export function cacheKeyOf(token: TokenInput): string {
  return token;
}

/** The error of an invalid token; undefined if it is valid. Checked at run time for callers without a type checker. */
export function tokenError(token: unknown): ClientError | undefined {
  const violation = jtiViolation("jti", token);
  return violation && invalidArguments([violation]);
}

/** The error of the invalid tokens among `tokens`; undefined if there are none. */
export function tokensError(tokens: readonly unknown[]): ClientError | undefined {
  const violations: Violation[] = [];
  for (const [index, token] of tokens.entries()) {
    const violation = jtiViolation("jtis", token);
    if (violation !== undefined) violations.push({ ...violation, field: `jtis[${index}]` });
  }
  return violations.length === 0 ? undefined : invalidArguments(violations);
}

/** What is wrong with `jti`, which stands in `field`; undefined if it is valid. */
export function jtiViolation(field: string, jti: unknown): Violation | undefined {
  if (typeof jti !== "string") return { field, description: "must be a string" };
  const description = jtiProblem(jti);
  if (description === undefined) return undefined;
  return { field, description, ...(isRawToken(jti) ? { reason: "RAW_TOKEN" } : {}) };
}

/** The required freshness of an answer. At most one field is set; without either, the answer must be fully fresh. */
export interface Freshness {
  /** How old the answer may be: whole milliseconds. */
  readonly maxStalenessMs?: number | undefined;
  /** The answer must reflect this revision. */
  readonly atLeastRevision?: string | undefined;
}

type Request = MessageInitShape<typeof IsBlacklistedRequestSchema>;

/** The request that asks about the tokens with these `jtis`. */
export function requestFor(jtis: TokenInput[], { maxStalenessMs, atLeastRevision }: Freshness): Request {
  if (atLeastRevision !== undefined) {
    return { jtis, freshness: { case: "atLeastRevision", value: atLeastRevision } };
  }
  if (maxStalenessMs === undefined) return { jtis };
  return { jtis, freshness: { case: "maxStaleness", value: durationFromMs(maxStalenessMs) } };
}

/** The index of the token that a violation is about; -1 if it is not about a token. */
export function indexOfToken({ field }: Violation): number {
  return Number(/^jtis\[(\d+)\]$/.exec(field)?.[1] ?? -1);
}
