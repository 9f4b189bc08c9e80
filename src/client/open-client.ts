import { CHECK_TIMEOUT_MS, DEFAULT_DEADLINE_MS } from "../limits.ts";
import { toTimestamp } from "../protobuf/timestamps.ts";
import { type Clock, clampedToTimer } from "../time/clock.ts";
import type { BlacklistClient, CallOptions, PruneOptions } from "./blacklist-client.ts";
import { guardedMetadata } from "./call-metadata.ts";
import { closeChannel, LASTING, openChannel, watchConnection } from "./channel.ts";
import { CheckBatcher } from "./check-batcher.ts";
import { booleanProblem, invalid, invalidAll, timeoutProblem } from "./check-options.ts";
import { CheckRouter } from "./check-router.ts";
import type { ClientError } from "./client-error.ts";
import { consoleLog, guardedLog } from "./client-log.ts";
import { guardedMetrics } from "./client-metrics.ts";
import { type ConnectOptions, checkConnectOptions } from "./connect-options.ts";
import { clientCredentials } from "./credentials.ts";
import { dateProblem, toEpochMs } from "./date-input.ts";
import { Deadlines } from "./deadlines.ts";
import { revoked } from "./entries.ts";
import { InFlightCalls } from "./in-flight-calls.ts";
import { callOptionsProblems, namesOf } from "./known-options.ts";
import { listing } from "./listing.ts";
import type { LocalCopyFactory, LocalCopySetup } from "./local-copy/local-copy.ts";
import { OutageLog } from "./outage-log.ts";
import { PositiveCache } from "./positive-cache.ts";
import { withRetries } from "./retry.ts";
import { revocationRequest } from "./revocations.ts";
import { rpcClientOver } from "./rpc-client.ts";
import { ServiceState } from "./service-state.ts";
import { StreamedChecks } from "./streamed-checks.ts";
import type { CallOptions as UnaryCallOptions } from "./unary-call.ts";
import { UnavailablePolicy } from "./unavailable-policy.ts";

/** Default maximum of entries in a client's copy: 0.8 GB. */
const MAX_COPY_ENTRIES = 20_000_000;

const CALL_OPTIONS = namesOf<CallOptions>({ timeoutMs: true, signal: true });
const PRUNE_OPTIONS = namesOf<PruneOptions>({
  maxCount: true,
  dryRun: true,
  expiredBefore: true,
  timeoutMs: true,
  signal: true,
});

export interface OpenClientSetup {
  readonly options: ConnectOptions;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Creates the local copy; absent: all checks go to the service. */
  readonly localCopy?: LocalCopyFactory | undefined;
}

/** Assembles a client. Throws a ClientError for invalid options. */
export function openClient({ options, clock, random, localCopy: factory }: OpenClientSetup): BlacklistClient {
  checkConnectOptions(options);
  const { address, credentials = clientCredentials(), onUnavailable = "throw", failFast = false } = options;
  const log = guardedLog(options.log ?? consoleLog);
  const metrics = guardedMetrics(options.metrics ?? {});
  const give = guardedMetadata(options.metadata);
  const channel = openChannel({ address, credentials, options: LASTING });
  const calls = rpcClientOver(channel);
  const outages = new OutageLog({ log, clock, address: channel.address, onUnavailable });
  const policy = new UnavailablePolicy({ choice: onUnavailable, metrics, log, clock, outages });
  const state = new ServiceState({
    hasCopy: factory !== undefined,
    failFast,
    isBlacklisted: (request, limits) => calls.isBlacklisted(request, { ...limits, metadata: give?.() }),
    ...{ clock, log, metrics, outages },
    onReady: () => policy.recovered(),
  });
  const { cell } = state;
  const onState: LocalCopySetup["onState"] = (to, error) => state.set(to, error);
  const deadlines = new Deadlines(clock);
  const positives = new PositiveCache({ clock });

  const { maxCopyEntries: maxEntries = MAX_COPY_ENTRIES } = options;
  const localCopy = factory?.({ ...channel, clock, maxEntries, random, log, metrics, onState });
  if (localCopy === undefined) watchConnection(channel.grpc, (is) => onState(is ? "ready" : "unavailable"));

  const streamed = new StreamedChecks({ channel, call: calls.isBlacklisted, clock, random });
  const batcher = new CheckBatcher({
    isBlacklisted: streamed.isBlacklisted,
    deadlines,
    clock,
    random,
    metrics,
    metadata: give,
    onCall: (error, call) => state.called(error, call),
    outage: state.outage,
  });
  const timeoutMs = options.timeoutMs ?? CHECK_TIMEOUT_MS;
  const checks = new CheckRouter({
    ...{ batcher, deadlines, positives, policy, localCopy, metrics, clock, timeoutMs },
    ...{ failFast, address: channel.address, outage: state.outage },
  });

  const underWay = new InFlightCalls();

  function timeoutOf({ timeoutMs = options.timeoutMs ?? DEFAULT_DEADLINE_MS }: CallOptions): number {
    const problem = timeoutProblem(timeoutMs);
    if (problem !== undefined) throw invalid("timeoutMs", problem);
    return clampedToTimer(timeoutMs);
  }

  /** Runs an idempotent call with retries. */
  async function patiently<T>(
    given: CallOptions,
    call: (limits: UnaryCallOptions) => Promise<T>,
  ): Promise<T> {
    const timeoutMs = timeoutOf(given);
    const metadata = give?.();
    const onRepeat = ({ code }: ClientError, waitMs: number) => metrics.repeated?.({ code, waitMs });
    return underWay.run(given.signal, (signal) =>
      withRetries((left) => call({ timeoutMs: left, signal, metadata }), {
        clock,
        random,
        timeoutMs,
        signal,
        onRepeat,
      }),
    );
  }

  const client: BlacklistClient = {
    isBlacklisted: (jti, checkOptions) => checks.isBlacklisted(jti, checkOptions),
    areBlacklisted: (jtis, checkOptions) => checks.areBlacklisted(jtis, checkOptions),
    peek: (jti, peekOptions) => checks.peek(jti, peekOptions),
    async blacklist(tokens, callOptions = {}) {
      const problems = callOptionsProblems(callOptions, CALL_OPTIONS);
      if (problems.length > 0) throw invalidAll(problems);
      const request = revocationRequest(tokens);
      const answer = revoked(await patiently(callOptions, (limits) => calls.blacklist(request, limits)));
      for (const { jti, expiresAt, outcome } of answer.results) {
        if (outcome !== "already-expired") checks.remember(jti, expiresAt.getTime());
      }
      return answer;
    },
    list: (listOptions = {}) =>
      listing(listOptions, (request) => patiently(listOptions, (limits) => calls.list(request, limits))),
    async prune(pruneOptions = {}) {
      const request = pruneRequest(pruneOptions);
      const timeoutMs = timeoutOf(pruneOptions);
      const metadata = give?.();
      const { prunedCount, hasMore } = await underWay.run(pruneOptions.signal, (signal) =>
        calls.prune(request, { timeoutMs, signal, metadata }),
      );
      return { prunedCount, hasMore };
    },
    ready: (readyOptions = {}) => state.ready(readyOptions),
    get state() {
      return cell.state;
    },
    on(event, listener) {
      cell.on(event, listener);
      return client;
    },
    once(event, listener) {
      cell.once(event, listener);
      return client;
    },
    off(event, listener) {
      cell.off(event, listener);
      return client;
    },
    [Symbol.dispose]() {
      client.close();
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([checks.end(), underWay.end()]);
      client.close();
    },
    close() {
      if (cell.state === "closed") return;
      state.close();
      checks.close();
      streamed.close();
      underWay.close();
      localCopy?.close();
      deadlines.close();
      positives.clear();
      closeChannel(channel);
    },
  };
  return client;
}

function pruneRequest(options: PruneOptions) {
  const problems = callOptionsProblems(options, PRUNE_OPTIONS);
  if (problems.length > 0) throw invalidAll(problems);
  const { maxCount = 0, dryRun = false, expiredBefore } = options;
  const dryRunProblem = booleanProblem(dryRun);
  if (dryRunProblem !== undefined) throw invalid("dryRun", dryRunProblem);
  if (expiredBefore === undefined) return { maxCount, dryRun };
  const problem = dateProblem(expiredBefore);
  if (problem !== undefined) throw invalid("expiredBefore", problem);
  return { maxCount, dryRun, expiredBefore: toTimestamp(toEpochMs(expiredBefore)) };
}
