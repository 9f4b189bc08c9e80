import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ListRequestSchema, ListResponse } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import type { Violation } from "../errors.ts";
import { MAX_PAGE_SIZE } from "../limits.ts";
import { toTimestamp } from "../protobuf/timestamps.ts";
import type { DateInput, ListedToken, ListOptions } from "./blacklist-client.ts";
import { booleanProblem, invalidAll } from "./check-options.ts";
import { dateProblem, toEpochMs } from "./date-input.ts";
import { listedToken } from "./entries.ts";
import { callOptionsProblems, namesOf } from "./known-options.ts";
import { PageTokens } from "./page-tokens.ts";

type Filters = MessageInitShape<typeof ListRequestSchema>;

const NAMES = namesOf<ListOptions>({
  includeExpired: true,
  createdAfter: true,
  createdBefore: true,
  revokedBy: true,
  jtis: true,
  pageSize: true,
  timeoutMs: true,
  signal: true,
});

/** All matching entries, page after page; `page` fetches one page. */
export async function* listing(
  options: ListOptions,
  fetchPage: (request: Filters) => Promise<ListResponse>,
): AsyncGenerator<ListedToken, void, undefined> {
  const problems = callOptionsProblems(options, NAMES);
  if (problems.length > 0) throw invalidAll(problems);
  // In the contract an empty list of jtis means all entries.
  if (options.jtis?.length === 0) return;
  const filters = filtersOf(options);
  const pageTokens = new PageTokens();
  for (let pageToken = ""; ; ) {
    const { tokens, nextPageToken } = await fetchPage({ ...filters, pageToken });
    for (const token of tokens) yield listedToken(token);
    pageToken = pageTokens.next(nextPageToken);
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
  const violations: Violation[] = [];
  for (const [field, date] of Object.entries({ createdAfter, createdBefore })) {
    const description = date === undefined ? undefined : dateProblem(date);
    if (description !== undefined) violations.push({ field, description });
  }
  if (!Number.isInteger(pageSize) || pageSize < 0 || pageSize > MAX_PAGE_SIZE) {
    violations.push({ field: "pageSize", description: `must be a whole number up to ${MAX_PAGE_SIZE}` });
  }
  const description = booleanProblem(includeExpired);
  if (description !== undefined) violations.push({ field: "includeExpired", description });
  if (violations.length > 0) throw invalidAll(violations);
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
