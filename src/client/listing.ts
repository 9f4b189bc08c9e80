import { createHash } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import type {
  BlacklistedToken,
  ListRequestSchema,
  ListResponse,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { MAX_PAGE_SIZE, MAX_PAGE_TOKEN_BYTES } from "../limits.ts";
import { fromTimestamp, toTimestamp } from "../protobuf/timestamps.ts";
import type { DateInput, ListedToken, ListOptions } from "./blacklist-client.ts";
import { malformedAnswer } from "./client-error.ts";
import {
  booleanProblem,
  expectOptions,
  expectValid,
  namesOf,
  optionalDateProblem,
  toEpochMs,
} from "./option-problems.ts";

type Filters = MessageInitShape<typeof ListRequestSchema>;

const OPTIONS = namesOf<ListOptions>({
  includeExpired: true,
  createdAfter: true,
  createdBefore: true,
  revokedBy: true,
  jtis: true,
  pageSize: true,
  timeoutMs: true,
  signal: true,
});

/** All matching entries, page after page. */
export async function* listing(
  options: ListOptions,
  fetchPage: (request: Filters) => Promise<ListResponse>,
): AsyncGenerator<ListedToken, void, undefined> {
  expectOptions(options, OPTIONS);
  // In the contract an empty list of jtis means all entries.
  if (options.jtis?.length === 0) return;
  const filters = filtersOf(options);
  const pageTokens = new SeenPageTokens();
  for (let pageToken = ""; ; ) {
    const { tokens, nextPageToken } = await fetchPage({ ...filters, pageToken });
    for (const token of tokens) yield listedToken(token);
    pageToken = pageTokens.accept(nextPageToken);
    if (pageToken === "") return;
  }
}

function filtersOf(options: ListOptions): Filters {
  const {
    includeExpired = false,
    createdAfter,
    createdBefore,
    revokedBy = "",
    jtis = [],
    pageSize = 0,
  } = options;
  const isPageSize = Number.isInteger(pageSize) && pageSize >= 0 && pageSize <= MAX_PAGE_SIZE;
  expectValid({
    createdAfter: optionalDateProblem(createdAfter),
    createdBefore: optionalDateProblem(createdBefore),
    pageSize: isPageSize ? undefined : `must be a whole number up to ${MAX_PAGE_SIZE}`,
    includeExpired: booleanProblem(includeExpired),
  });
  return {
    pageSize,
    includeExpired,
    revokedBy,
    jtis: [...jtis],
    ...(createdAfter !== undefined && { createdAfter: timestamp(createdAfter) }),
    ...(createdBefore !== undefined && { createdBefore: timestamp(createdBefore) }),
  };
}

function timestamp(date: DateInput): ReturnType<typeof toTimestamp> {
  return toTimestamp(toEpochMs(date));
}

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

function date(timestamp: Timestamp): Date {
  try {
    return new Date(fromTimestamp(timestamp));
  } catch {
    throw malformedAnswer("the service sent an invalid time");
  }
}

/**
 * The page tokens of one listing. If the service sends a token twice, the listing would never end and return the same entries again
 * and again. A digest of each token is kept: about a hundred bytes per page.
 */
export class SeenPageTokens {
  readonly #seen = new Set<string>();

  /** `first` is the token of the first request: empty, or where an earlier listing ended. */
  constructor(first = "") {
    this.#seen.add(digestOf(first));
  }

  /** Returns `token`, with which the next page is requested; empty: there is none. Throws if it is too long or was sent before. */
  accept(token: string): string {
    if (token === "") return token;
    if (Buffer.byteLength(token) > MAX_PAGE_TOKEN_BYTES)
      throw malformedAnswer(`the service sent a page token of more than ${MAX_PAGE_TOKEN_BYTES} bytes`);
    const digest = digestOf(token);
    if (this.#seen.has(digest))
      throw malformedAnswer("the service sent a page token for the second time: the listing would never end");
    this.#seen.add(digest);
    return token;
  }
}

function digestOf(token: string): string {
  return createHash("sha256").update(token).digest("base64");
}
