import type { Violation } from "../errors.ts";
import type { GiveMetadata } from "./call-metadata.ts";
import { invalidAll, timeoutProblem } from "./check-options.ts";
import type { ClientLog } from "./client-log.ts";
import type { ClientMetrics } from "./client-metrics.ts";
import type { ClientCredentials } from "./credentials.ts";
import type { OnUnavailable } from "./unavailable-policy.ts";

/**
 * `remote`: checks ask the service, many together a call. `replica`: this process keeps a copy of the blacklist and answers
 * from it, once it is proven as fresh as the question demands.
 */
export type Mode = "remote" | "replica";

export interface ConnectOptions {
  /**
   * Where the service is: `host:port`, or `dns:///name:port`, all of whose records are used. Or several `host:port` with
   * addresses of one family, IPv4 or IPv6. Calls go to all of them in turn; one that cannot be reached is left out.
   */
  readonly address: string | readonly string[];
  /** From `clientCredentials()`. Absent: neither TLS nor a caller's token. */
  readonly credentials?: ClientCredentials | undefined;
  /** `remote` unless given. */
  readonly mode?: Mode | undefined;
  /** The deadline of calls that bring none. Unless given: 2 seconds for checks, 10 for the rest. */
  readonly timeoutMs?: number | undefined;
  /** What a check comes to that cannot be answered; `throw` unless given. */
  readonly onUnavailable?: OnUnavailable | undefined;
  /** In replica mode: with more entries than this, some 40 bytes each, checks ask the service. 20 million unless given. */
  readonly maxCopyEntries?: number | undefined;
  /** What joins the metadata of calls: see {@link GiveMetadata}. */
  readonly metadata?: GiveMetadata | undefined;
  readonly metrics?: ClientMetrics | undefined;
  /** Unless given, warnings go to standard error. */
  readonly log?: ClientLog | undefined;
}

/** Throws a `ClientError` with everything that is wrong with `options`: a policy that was misspelt must not be guessed. */
export function checkConnectOptions({
  address,
  mode,
  timeoutMs,
  onUnavailable,
  maxCopyEntries,
  metadata,
}: ConnectOptions): void {
  const violations: Violation[] = [];
  const expect = (field: string, description: string | undefined) => {
    if (description !== undefined) violations.push({ field, description });
  };
  const addresses: readonly unknown[] = Array.isArray(address) ? address : [address];
  const areText = addresses.length > 0 && addresses.every((one) => typeof one === "string" && one !== "");
  expect("address", areText ? undefined : "must be host:port, or an array of them");
  expect("mode", oneOf(mode, ["remote", "replica"]));
  expect("onUnavailable", oneOf(onUnavailable, ["throw", "deny", "allow"]));
  expect("timeoutMs", timeoutMs === undefined ? undefined : timeoutProblem(timeoutMs));
  const isCount = maxCopyEntries === undefined || (Number.isInteger(maxCopyEntries) && maxCopyEntries > 0);
  expect("maxCopyEntries", isCount ? undefined : "must be a whole number above 0");
  expect(
    "metadata",
    metadata === undefined || typeof metadata === "function" ? undefined : "must be a function",
  );
  if (violations.length > 0) throw invalidAll(violations);
}

function oneOf(value: unknown, allowed: readonly string[]): string | undefined {
  const isFine = value === undefined || allowed.includes(value as string);
  return isFine ? undefined : `must be one of ${allowed.join(", ")}`;
}
