import type { Violation } from "../errors.ts";
import { addressProblem } from "./address.ts";
import type { GiveMetadata } from "./call-metadata.ts";
import { booleanProblem, invalid, invalidAll, timeoutProblem } from "./check-options.ts";
import type { ClientLog } from "./client-log.ts";
import type { ClientMetrics } from "./client-metrics.ts";
import type { ClientCredentials } from "./credentials.ts";
import { unknownOptions } from "./known-options.ts";
import type { OnUnavailable } from "./unavailable-policy.ts";

/**
 * `remote`: checks ask the service, many together a call. `replica`: this process keeps a copy of the blacklist and answers
 * from it, once it is proven as fresh as the question demands.
 */
export type Mode = "remote" | "replica";

export interface ConnectOptions {
  /**
   * Where the service is: `host:port`, or `dns:///name:port`, all of whose records are used, or `unix:path`. Or several `host:port`
   * with addresses of one family, IPv4 or IPv6. Calls go to all of them in turn; one that cannot be reached is left out. The port is
   * part of it, and no scheme such as `http://` is.
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
  /**
   * Whether checks reject at once while the service answers none, instead of at their deadline. `false` unless given. What can be answered
   * here is answered all the same, and `onUnavailable` applies. Once the service is there again, at most a second passes until checks ask it.
   */
  readonly failFast?: boolean | undefined;
  /** In replica mode: with more entries than this, some 40 bytes each, checks ask the service. 20 million unless given. */
  readonly maxCopyEntries?: number | undefined;
  /** What joins the metadata of calls: see {@link GiveMetadata}. */
  readonly metadata?: GiveMetadata | undefined;
  readonly metrics?: ClientMetrics | undefined;
  /** Unless given, warnings go to standard error. */
  readonly log?: ClientLog | undefined;
}

const NAMES: readonly (keyof ConnectOptions)[] = [
  ...([
    "address",
    "credentials",
    "mode",
    "timeoutMs",
    "onUnavailable",
    "failFast",
    "maxCopyEntries",
  ] as const),
  ...(["metadata", "metrics", "log"] as const),
];

/** Throws a `ClientError` with everything that is wrong with `options`: a policy that was misspelt must not be guessed. */
export function checkConnectOptions(options: ConnectOptions): void {
  if (typeof options !== "object" || options === null) {
    throw invalid("options", 'must be an object, such as { address: "127.0.0.1:50051" }');
  }
  const { address, credentials, mode, timeoutMs, onUnavailable, failFast, maxCopyEntries, metadata } =
    options;
  const violations: Violation[] = unknownOptions(options, NAMES);
  const expect = (field: string, description: string | undefined) => {
    if (description !== undefined) violations.push({ field, description });
  };
  if (!Array.isArray(address)) expect("address", addressProblem(address));
  else if (address.length === 0) expect("address", "must hold at least one host:port");
  else for (const [index, one] of address.entries()) expect(`address[${index}]`, addressProblem(one));
  const isCredentials = typeof credentials?.authorization === "function" && credentials.channel !== undefined;
  expect(
    "credentials",
    credentials === undefined || isCredentials ? undefined : "must be from clientCredentials()",
  );
  expect("mode", oneOf(mode, ["remote", "replica"]));
  expect("onUnavailable", oneOf(onUnavailable, ["throw", "deny", "allow"]));
  expect("timeoutMs", timeoutMs === undefined ? undefined : timeoutProblem(timeoutMs));
  expect("failFast", booleanProblem(failFast));
  const isCount = maxCopyEntries === undefined || (Number.isInteger(maxCopyEntries) && maxCopyEntries > 0);
  expect("maxCopyEntries", isCount ? undefined : "must be a whole number above 0");
  expect("metadata", functionProblem(metadata));
  const { metrics, log } = options;
  expect("metrics", metrics === undefined || isObject(metrics) ? undefined : "must be an object");
  expect("log", log === undefined || typeof log?.warn === "function" ? undefined : "must have a method warn");
  if (violations.length > 0) throw invalidAll(violations);
}

function isObject(value: unknown): boolean {
  return (typeof value === "object" || typeof value === "function") && value !== null;
}

function functionProblem(value: unknown): string | undefined {
  return value === undefined || typeof value === "function" ? undefined : "must be a function";
}

function oneOf(value: unknown, allowed: readonly string[]): string | undefined {
  const isFine = value === undefined || allowed.includes(value as string);
  return isFine ? undefined : `must be one of ${allowed.join(", ")}`;
}
