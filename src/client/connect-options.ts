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
 * `remote`: checks are sent to the service, many per call. `local`: this process keeps a copy of the blacklist and answers from
 * it once the copy is proven as fresh as the check requires.
 */
export type Mode = "remote" | "local";

export interface ConnectOptions {
  /**
   * The address of the service: `host:port`, `dns:///name:port`, all of whose records are used, or `unix:path`; or an array of
   * `host:port` with IP addresses of one family, IPv4 or IPv6. Calls are distributed round-robin; unreachable addresses are
   * skipped. The port is required, and a scheme such as `http://` is not allowed.
   */
  readonly address: string | readonly string[];
  /** From `clientCredentials()`. Absent: neither TLS nor a caller's token. */
  readonly credentials?: ClientCredentials | undefined;
  /** Absent: `remote`. */
  readonly mode?: Mode | undefined;
  /** The timeout in milliseconds of calls that set none. Absent: 2 seconds for checks, 10 seconds for other calls. */
  readonly timeoutMs?: number | undefined;
  /** The result of a check that cannot be answered. Absent: `throw`. */
  readonly onUnavailable?: OnUnavailable | undefined;
  /**
   * Whether checks reject at once, instead of at their deadline, while the service answers none. Absent: `false`. Checks that can
   * be answered locally are answered nevertheless, and `onUnavailable` applies. Once the service is back, checks are sent to it
   * again within a second.
   */
  readonly failFast?: boolean | undefined;
  /**
   * In local mode: the maximum number of entries of the copy, at some 40 bytes each; with more, checks go to the service. Absent:
   * 20 million.
   */
  readonly maxCopyEntries?: number | undefined;
  /** Returns metadata for calls, see {@link GiveMetadata}. */
  readonly metadata?: GiveMetadata | undefined;
  readonly metrics?: ClientMetrics | undefined;
  /** Absent: warnings go to standard error. */
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

/** Throws a `ClientError` with everything wrong with `options`: a misspelt policy must not be ignored. */
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
  expect("mode", oneOf(mode, ["remote", "local"]));
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
