import { CHECK_TIMEOUT_MS, DEFAULT_DEADLINE_MS } from "../limits.ts";
import { toTimestamp } from "../protobuf/timestamps.ts";
import type { Clock } from "../time/clock.ts";
import type { BlacklistClient, CallOptions, PruneOptions } from "./blacklist-client.ts";
import { guardedMetadata } from "./call-metadata.ts";
import { closeChannel, LONG_LIVED, openChannel, watchConnection } from "./channel.ts";
import { CheckBatcher } from "./check-batcher.ts";
import { CheckRouter } from "./check-router.ts";
import { type ConnectOptions, checkConnectOptions } from "./connect-options.ts";
import { clientCredentials } from "./credentials.ts";
import { Deadlines } from "./deadlines.ts";
import { InFlightCalls } from "./in-flight-calls.ts";
import { listing } from "./listing.ts";
import type { LocalCopyFactory, LocalCopySetup } from "./local-copy/local-copy.ts";
import {
  booleanProblem,
  expectOptions,
  expectValid,
  namesOf,
  optionalDateProblem,
  toEpochMs,
} from "./option-problems.ts";
import { OutageLog } from "./outage-log.ts";
import { PositiveCache } from "./positive-cache.ts";
import { revocationRequest, revoked } from "./revocations.ts";
import { rpcClientOver } from "./rpc-client.ts";
import { ServiceState } from "./service-state.ts";
import { StreamedChecks } from "./streamed-checks.ts";
import { consoleLog, guardedLog, guardedMetrics } from "./telemetry.ts";
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
export function openClient(setup: OpenClientSetup): BlacklistClient {
  const { options, clock, random, localCopy: createCopy } = setup;
  checkConnectOptions(options);
  const { address, credentials = clientCredentials(), onUnavailable = "throw", failFast = false } = options;
  const log = guardedLog(options.log ?? consoleLog);
  const metrics = guardedMetrics(options.metrics ?? {});
  const metadata = guardedMetadata(options.metadata);
  const channel = openChannel({ address, credentials, options: LONG_LIVED });
  const rpc = rpcClientOver(channel);
  const outages = new OutageLog({ log, clock, address: channel.address, onUnavailable });
  const policy = new UnavailablePolicy({ onUnavailable, metrics, log, clock, outages });
  const service = new ServiceState({
    hasCopy: createCopy !== undefined,
    failFast,
    isBlacklisted: (request, rpcOptions) =>
      rpc.isBlacklisted(request, { ...rpcOptions, metadata: metadata?.() }),
    ...{ clock, log, metrics, outages },
    onReady: () => policy.recovered(),
  });
  const { emitter, outageError } = service;
  const onState: LocalCopySetup["onState"] = (state, error) => service.setState(state, error);
  const deadlines = new Deadlines(clock);
  const positives = new PositiveCache({ clock });

  const { maxCopyEntries: maxEntries = MAX_COPY_ENTRIES } = options;
  const localCopy = createCopy?.({ ...channel, clock, maxEntries, random, log, metrics, onState });
  if (localCopy === undefined) {
    watchConnection(channel.grpc, (isConnected) => onState(isConnected ? "ready" : "unavailable"));
  }

  const streamed = new StreamedChecks({ channel, callUnary: rpc.isBlacklisted, clock, random });
  const batcher = new CheckBatcher({
    isBlacklisted: streamed.isBlacklisted,
    ...{ deadlines, clock, random, metrics, metadata, outageError },
    onCall: (error, call) => service.onCall(error, call),
  });
  const checks = new CheckRouter({
    ...{ batcher, deadlines, positives, policy, localCopy, metrics, clock, failFast, outageError },
    timeoutMs: options.timeoutMs ?? CHECK_TIMEOUT_MS,
    address: channel.address,
  });
  const otherCalls = new InFlightCalls({
    timeoutMs: options.timeoutMs ?? DEFAULT_DEADLINE_MS,
    ...{ metadata, metrics, clock, random },
  });

  const client: BlacklistClient = {
    isBlacklisted: (jti, checkOptions) => checks.isBlacklisted(jti, checkOptions),
    areBlacklisted: (jtis, checkOptions) => checks.areBlacklisted(jtis, checkOptions),
    peek: (jti, peekOptions) => checks.peek(jti, peekOptions),
    async blacklist(tokens, callOptions = {}) {
      expectOptions(callOptions, CALL_OPTIONS);
      const request = revocationRequest(tokens);
      const answer = revoked(
        await otherCalls.runWithRetries(callOptions, (attempt) => rpc.blacklist(request, attempt)),
      );
      for (const { jti, expiresAt, outcome } of answer.results) {
        if (outcome !== "already-expired") checks.remember(jti, expiresAt.getTime());
      }
      return answer;
    },
    list: (listOptions = {}) =>
      listing(listOptions, (request) =>
        otherCalls.runWithRetries(listOptions, (attempt) => rpc.list(request, attempt)),
      ),
    async prune(pruneOptions = {}) {
      const request = pruneRequest(pruneOptions);
      const { prunedCount, hasMore } = await otherCalls.run(pruneOptions, (attempt) =>
        rpc.prune(request, attempt),
      );
      return { prunedCount, hasMore };
    },
    ready: (readyOptions = {}) => service.ready(readyOptions),
    get state() {
      return emitter.state;
    },
    on(event, listener) {
      emitter.on(event, listener);
      return client;
    },
    once(event, listener) {
      emitter.once(event, listener);
      return client;
    },
    off(event, listener) {
      emitter.off(event, listener);
      return client;
    },
    [Symbol.dispose]() {
      client.close();
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([checks.end(), otherCalls.end()]);
      client.close();
    },
    close() {
      if (emitter.state === "closed") return;
      service.close();
      checks.close();
      streamed.close();
      otherCalls.close();
      localCopy?.close();
      deadlines.close();
      positives.clear();
      closeChannel(channel);
    },
  };
  return client;
}

function pruneRequest(options: PruneOptions) {
  expectOptions(options, PRUNE_OPTIONS);
  const { maxCount = 0, dryRun = false, expiredBefore } = options;
  expectValid({ dryRun: booleanProblem(dryRun), expiredBefore: optionalDateProblem(expiredBefore) });
  if (expiredBefore === undefined) return { maxCount, dryRun };
  return { maxCount, dryRun, expiredBefore: toTimestamp(toEpochMs(expiredBefore)) };
}
