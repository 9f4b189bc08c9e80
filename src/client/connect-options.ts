import { addressProblem } from "./address.ts";
import type { MetadataProvider } from "./call-metadata.ts";
import type { ClientCredentials } from "./credentials.ts";
import {
  booleanProblem,
  expectValid,
  invalidArgument,
  namesOf,
  timeoutProblem,
  unknownOptions,
} from "./option-problems.ts";
import type { ClientLog, ClientMetrics } from "./telemetry.ts";
import type { OnUnavailable } from "./unavailable-policy.ts";

/**
 * `remote`: checks are sent to the service, many per call. `local`: this process keeps a copy of the blacklist and answers from
 * it once the copy is proven as fresh as the check requires.
 */
export type Mode = "remote" | "local";

export interface ConnectOptions {
  /**
   * The address of the service: `host:port`, `dns:///name:port` (all records of the name are used), or `unix:path`; or an array of
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
   * Whether checks reject at once, instead of at their deadline, while the service answers no checks. Absent: `false`. Checks that can
   * be answered locally are answered nevertheless, and `onUnavailable` applies. Once the service is back, checks are sent to it
   * again within a second.
   */
  readonly failFast?: boolean | undefined;
  /**
   * In local mode: the maximum number of entries of the copy, at some 40 bytes each. If the blacklist has more, the copy is dropped, and
   * checks go to the service. Absent: 20 million.
   */
  readonly maxCopyEntries?: number | undefined;
  /** Returns metadata for calls, see {@link MetadataProvider}. */
  readonly metadata?: MetadataProvider | undefined;
  readonly metrics?: ClientMetrics | undefined;
  /** Absent: warnings go to standard error. */
  readonly log?: ClientLog | undefined;
}

const OPTIONS = namesOf<ConnectOptions>({
  address: true,
  credentials: true,
  mode: true,
  timeoutMs: true,
  onUnavailable: true,
  failFast: true,
  maxCopyEntries: true,
  metadata: true,
  metrics: true,
  log: true,
});

/** Throws a `ClientError` with everything wrong with `options`: a misspelt policy must not be ignored. */
export function checkConnectOptions(options: ConnectOptions): void {
  if (typeof options !== "object" || options === null) {
    throw invalidArgument("options", 'must be an object, such as { address: "127.0.0.1:50051" }');
  }
  const { address, credentials, mode, onUnavailable, maxCopyEntries, metadata, metrics, log } = options;
  const isCredentials = typeof credentials?.authorization === "function" && credentials.channel !== undefined;
  const isCount = Number.isInteger(maxCopyEntries) && (maxCopyEntries as number) > 0;
  const problems = {
    ...addressProblems(address),
    credentials: credentials === undefined || isCredentials ? undefined : "must be from clientCredentials()",
    mode: oneOfProblem(mode, ["remote", "local"]),
    onUnavailable: oneOfProblem(onUnavailable, ["throw", "deny", "allow"]),
    timeoutMs: timeoutProblem(options.timeoutMs),
    failFast: booleanProblem(options.failFast),
    maxCopyEntries: maxCopyEntries === undefined || isCount ? undefined : "must be a whole number above 0",
    metadata: metadata === undefined || typeof metadata === "function" ? undefined : "must be a function",
    metrics: metrics === undefined || isObject(metrics) ? undefined : "must be an object",
    log: log === undefined || typeof log?.warn === "function" ? undefined : "must have a method warn",
  };
  expectValid(problems, unknownOptions(options, OPTIONS));
}

function addressProblems(address: unknown): Record<string, string | undefined> {
  if (!Array.isArray(address)) return { address: addressProblem(address) };
  if (address.length === 0) return { address: "must hold at least one host:port" };
  return Object.fromEntries([...address].map((one, index) => [`address[${index}]`, addressProblem(one)]));
}

function isObject(value: unknown): boolean {
  return (typeof value === "object" || typeof value === "function") && value !== null;
}

function oneOfProblem(value: unknown, allowed: readonly string[]): string | undefined {
  const isValid = value === undefined || allowed.includes(value as string);
  return isValid ? undefined : `must be one of ${allowed.join(", ")}`;
}
