import { Verdict } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { MAX_BATCH, MAX_CALL_ATTEMPTS, MAX_PENDING_CHECKS } from "../limits.ts";
import { SharedRounds } from "../shared-rounds.ts";
import type { Clock } from "../time/clock.ts";
import type { MetadataProvider } from "./call-metadata.ts";
import { type Freshness, indexOfToken, requestFor } from "./checked-tokens.ts";
import { asClientError, ClientError, notFresh } from "./client-error.ts";
import type { Deadlines } from "./deadlines.ts";
import { CheckGroup, type PendingCheck } from "./pending-checks.ts";
import { pause, remapCancellation, retryDelay } from "./retry.ts";
import type { RpcClient } from "./rpc-client.ts";
import type { ClientMetrics } from "./telemetry.ts";

/**
 * Maximum number of calls in flight for checks of one freshness, and how long the client waits for the answer of a call before it sends the
 * next call. Checks made meanwhile share the next call: sending 500 checks in one call takes a fourth of the processor time of sending them in
 * eight calls. A slow call delays later checks by only these few milliseconds.
 */
const MAX_CHECK_CALLS = 4;
const NEXT_CALL_AFTER_MS = 5;
/** A first attempt gets only half of the remaining time if that half is at least this long: another replica may answer in the other half. */
const MIN_HALF_TIME_MS = 250;
/** Maximum number of different freshnesses of checks in progress: there are many revisions, and each needs calls of its own. */
const MAX_FRESHNESSES = 256;

export interface CheckBatcherSetup {
  readonly isBlacklisted: RpcClient["isBlacklisted"];
  readonly deadlines: Deadlines;
  readonly clock: Clock;
  readonly random: () => number;
  readonly metrics: ClientMetrics;
  readonly metadata?: MetadataProvider | undefined;
  /** Called with the result of each call, to track whether the service answers checks. */
  readonly onCall: (error: ClientError | undefined, call: CallAttempt) => void;
  /** The error of a check that fails fast; undefined while the service answers checks, as far as known. */
  readonly outageError: () => ClientError | undefined;
}

export interface CallAttempt {
  /** The timeout of this attempt alone. */
  readonly timeoutMs: number;
  /** The number of the attempt for the same checks, from 1. */
  readonly attempt: number;
}

/** The checks of one freshness, and the calls that carry them. */
interface Lane {
  readonly key: string | number;
  readonly freshness: Freshness;
  /** The checks that wait for a call. */
  readonly queue: CheckGroup[];
  readonly calls: SharedRounds<CheckGroup>;
}

/** The key of the lane for fully fresh checks. The other keys are `maxStalenessMs` and `atLeastRevision`. */
const FULLY_FRESH = "";

/**
 * Sends checks to the service, many per call. Checks made in one turn of the event loop are sent at once, in one call. While that
 * call is in flight, later checks wait for its answer, or for a few milliseconds, and share the next call.
 */
export class CheckBatcher {
  readonly #setup: CheckBatcherSetup;
  readonly #lanes = new Map<string | number, Lane>();
  #pending = 0;

  constructor(setup: CheckBatcherSetup) {
    this.#setup = setup;
  }

  /** Settles `check` later, or at once if there is no room for it. */
  ask(check: PendingCheck): void {
    const outageError = check.failFast ? this.#setup.outageError() : undefined;
    if (outageError !== undefined) {
      check.fail(outageError);
      return;
    }
    const lane = this.#pending < MAX_PENDING_CHECKS ? this.#laneFor(check.freshness) : undefined;
    if (lane === undefined) {
      check.fail(tooManyChecks());
      return;
    }
    this.#pending++;
    let group = lane.queue.at(-1);
    if (group === undefined || group.length >= MAX_BATCH) {
      group = new CheckGroup(() => this.#pending--);
      group.metadata = this.#setup.metadata?.();
      lane.queue.push(group);
    }
    const before = group.earliestDeadline;
    group.add(check);
    if (group.earliestDeadline < before) this.#setup.deadlines.watch(group);
    lane.calls.requested();
  }

  /** Drops the queues; the caller fails the checks in them. */
  close(): void {
    for (const { queue } of this.#lanes.values()) queue.length = 0;
  }

  #laneFor(freshness: Freshness): Lane | undefined {
    const { maxStalenessMs, atLeastRevision } = freshness;
    const key = maxStalenessMs ?? atLeastRevision ?? FULLY_FRESH;
    const known = this.#lanes.get(key);
    if (known !== undefined) return known;
    if (this.#lanes.size >= MAX_FRESHNESSES && key !== FULLY_FRESH) {
      // Checks that accept staleness can be fully fresh instead. A check with a revision cannot, because it must fail if the database has lost
      // that revision, and a fully fresh check does not.
      return maxStalenessMs === undefined ? undefined : this.#laneFor({});
    }
    const lane: Lane = {
      key,
      freshness,
      queue: [],
      calls: new SharedRounds({
        take: () => this.#take(lane),
        send: (group) => this.#send(group, lane),
        // Waits one turn of the event loop, in which other code may add checks.
        maxTurns: 1,
        parallel: { clock: this.#setup.clock, maxInFlight: MAX_CHECK_CALLS, afterMs: NEXT_CALL_AFTER_MS },
      }),
    };
    this.#lanes.set(key, lane);
    return lane;
  }

  /** The checks that have waited longest, as many as fit into a call. */
  #take({ key, queue, calls }: Lane): CheckGroup | undefined {
    const { deadlines } = this.#setup;
    for (let group = queue.shift(); group !== undefined; group = queue.shift()) {
      for (let next = queue[0]; next !== undefined; next = queue[0]) {
        if (group.length + next.length > MAX_BATCH) break;
        group.absorb(next);
        deadlines.forget(next);
        queue.shift();
      }
      if (group.length > 0) return group;
      deadlines.forget(group);
    }
    if (!calls.isBusy && key !== FULLY_FRESH) this.#lanes.delete(key);
    return undefined;
  }

  /** Sends a call for `group`, and at once another call if enough checks wait to fill it. */
  #send(group: CheckGroup, lane: Lane): void {
    void this.#run(group, lane);
    const [next] = lane.queue;
    if (next === undefined) return;
    if (next.length >= MAX_BATCH) lane.calls.sendNext();
    else lane.calls.requested();
  }

  async #run(group: CheckGroup, lane: Lane): Promise<void> {
    const count = group.length;
    // An abandoned check keeps its place, since the verdicts have the order of the checks that were sent.
    group.keepsAbandoned = true;
    try {
      await this.#askUntilSettled(group, lane);
    } catch (cause) {
      group.fail(asClientError(cause));
    } finally {
      this.#setup.deadlines.forget(group);
      this.#pending -= count;
      // The next call is sent one turn later, because the callers of the answered checks may make further checks in this turn.
      lane.calls.ended(1);
    }
  }

  async #askUntilSettled(group: CheckGroup, { freshness }: Lane): Promise<void> {
    const { clock, random, metrics } = this.#setup;
    for (let attempt = 1; ; attempt++) {
      const allAbandoned = new AbortController();
      group.onAllAbandoned = () => allAbandoned.abort();
      // An unreachable replica whose failure has not been detected yet must not use up the whole timeout.
      const half = attempt === 1 ? (group.latestDeadline - clock.monotonic()) / 2 : 0;
      const isHalf = half >= MIN_HALF_TIME_MS;
      const giveUpAt = isHalf ? group.latestDeadline - half : group.latestDeadline;
      const error = await this.#attempt(group, { freshness, signal: allAbandoned.signal, giveUpAt, attempt });
      if (error !== undefined) group.failFast(this.#setup.outageError);
      const left = group.removeSettled();
      if (left === 0 || error === undefined) return;
      const retriesAtOnce = failNamedTokens(group, error) || (isHalf && error.code === "DEADLINE_EXCEEDED");
      const wait = retriesAtOnce ? 0 : retryDelay(error, { attempt, random });
      if (wait === undefined || attempt >= MAX_CALL_ATTEMPTS) {
        group.fail(error);
        return;
      }
      // A check whose deadline is before the retry fails now with this error, not later with DEADLINE_EXCEEDED.
      group.expire(clock.monotonic() + wait, error);
      if (group.removeSettled() === 0) return;
      group.lastError = error;
      metrics.retried?.({ code: error.code, waitMs: wait });
      if (wait > 0) await pause(clock, wait, allAbandoned.signal);
      if (group.removeSettled() === 0) return;
    }
  }

  /** Makes one attempt and settles the checks that it answers. Returns the error of the other checks. */
  async #attempt(
    group: CheckGroup,
    options: { freshness: Freshness; signal: AbortSignal; giveUpAt: number; attempt: number },
  ): Promise<ClientError | undefined> {
    const { freshness, signal, giveUpAt, attempt } = options;
    const { clock, isBlacklisted, onCall, metrics } = this.#setup;
    const { checks, metadata } = group;
    const sentAt = clock.monotonic();
    const timeoutMs = Math.max(1, Math.ceil(giveUpAt - sentAt));
    let verdicts: readonly Verdict[] = [];
    let failed: ClientError | undefined;
    try {
      const tokens = checks.map(({ token }) => token);
      const request = requestFor(tokens, freshness);
      ({ verdicts } = await isBlacklisted(request, { timeoutMs, signal, metadata }));
    } catch (cause) {
      failed = remapCancellation(asClientError(cause), { cancelledByClient: signal.aborted });
    }
    onCall(failed, { timeoutMs, attempt });
    const seconds = (clock.monotonic() - sentAt) / 1000;
    metrics.called?.({ code: failed?.code ?? "OK", jtis: checks.length, seconds });
    return failed ?? settle(checks, verdicts);
  }
}

/** Returns the error of the checks that the service answered with UNKNOWN. */
function settle(checks: readonly PendingCheck[], verdicts: readonly Verdict[]): ClientError | undefined {
  let areAllKnown = true;
  for (const [index, check] of checks.entries()) {
    const verdict = verdicts[index];
    if (verdict === Verdict.NOT_BLACKLISTED) check.answer(false, "service");
    else if (verdict === Verdict.BLACKLISTED) check.answer(true, "service");
    else areAllKnown = false;
  }
  return areAllKnown ? undefined : notFresh();
}

/**
 * If the service has rejected the request and named invalid tokens, fails the checks of these tokens; the other checks can be sent again.
 * Returns whether any check has been removed, so that the others can be sent again at once.
 */
function failNamedTokens(group: CheckGroup, { code, reason, violations }: ClientError): boolean {
  if (code !== "INVALID_ARGUMENT" || group.length === 1) return false;
  const { checks } = group;
  for (const violation of violations) {
    const check = checks[indexOfToken(violation)];
    if (check === undefined || check.isSettled) continue;
    const ownViolation = { ...violation, field: "jti" };
    check.fail(
      new ClientError(code, `jti: ${violation.description}`, { reason, violations: [ownViolation] }),
    );
  }
  const left = group.removeSettled();
  return left < checks.length;
}

/** The error of a check for which there is no room. */
export function tooManyChecks(): ClientError {
  return new ClientError("RESOURCE_EXHAUSTED", "too many checks are pending", { reason: "OVERLOADED" });
}
