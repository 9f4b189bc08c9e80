import { CHECK_TIMEOUT_MS } from "../limits.ts";
import type { Clock } from "../time/clock.ts";
import type { ReadyOptions } from "./blacklist-client.ts";
import type { CallAttempt } from "./check-batcher.ts";
import { ClientError } from "./client-error.ts";
import { type ClientState, StateEmitter } from "./client-state.ts";
import type { OutageLog } from "./outage-log.ts";
import { Readiness } from "./readiness.ts";
import type { RpcClient } from "./rpc-client.ts";
import { ServiceProbe } from "./service-probe.ts";
import type { ClientLog, ClientMetrics } from "./telemetry.ts";

/**
 * In a rolling restart the first attempts at a call may reach replicas that are shutting down. Only if the attempt with this number fails
 * too, there is no other replica.
 */
const DECISIVE_ATTEMPT = 3;

export interface ServiceStateSetup {
  /** Whether the client keeps a local copy. The state is then that of the copy; otherwise it follows from the connection and from checks. */
  readonly hasCopy: boolean;
  /** Whether checks fail fast by default. */
  readonly failFast: boolean;
  readonly isBlacklisted: RpcClient["isBlacklisted"];
  readonly clock: Clock;
  readonly log: Required<ClientLog>;
  readonly metrics: ClientMetrics;
  readonly outages: OutageLog;
  /** Called when the state becomes `ready`. */
  readonly onReady: () => void;
}

/** Tracks the service: the client's state, whether checks are answered at present, and pending calls of `ready()`. */
export class ServiceState {
  readonly emitter: StateEmitter;
  readonly #setup: ServiceStateSetup;
  readonly #readiness: Readiness;
  readonly #probe: ServiceProbe;
  /** Whether a check has been answered since the service was last unavailable. */
  #hasAnswered = false;
  /** Whether the client has ever been ready. */
  #wasReady = false;
  /** The last failure that concerns the service. */
  #lastError: ClientError | undefined;
  /** Why the service answers no checks: the error of checks that fail fast. Undefined while it answers checks, as far as known. */
  #outage: ClientError | undefined;
  /** A check has failed fast since the last probe, so another probe has to find out whether checks are answered. */
  #hasFailedFast = false;

  constructor(setup: ServiceStateSetup) {
    this.#setup = setup;
    this.emitter = new StateEmitter(() => setup.log.warn("a listener for the state has thrown", {}));
    this.#readiness = new Readiness({
      clock: setup.clock,
      isReady: () => this.emitter.state === "ready" && (setup.hasCopy || this.#hasAnswered),
      lastError: () => this.#lastError,
      // A connection alone does not show that checks are answered, so probe; a copy proves itself.
      onWaiting: () => setup.hasCopy || this.#probe.probeIfDue(),
    });
    this.#probe = new ServiceProbe({
      isBlacklisted: setup.isBlacklisted,
      clock: setup.clock,
      isWanted: () => this.#isProbeWanted,
      onResult: (error) => {
        this.#hasFailedFast = false;
        if (error !== undefined) this.#lastError = error;
        this.onCall(error, { timeoutMs: CHECK_TIMEOUT_MS, attempt: 1 });
      },
    });
  }

  /** `error` is the reason why the service is unavailable, if known. */
  setState(state: ClientState, error?: ClientError): void {
    const { emitter } = this;
    const { log, metrics, outages, hasCopy, onReady } = this.#setup;
    if (error !== undefined) this.#lastError = error;
    const before = emitter.state;
    if (before === "closed") return;
    if (state === "unavailable") {
      outages.unavailable(error);
      this.#hasAnswered = false;
      // That a copy has lost its stream does not show that the service answers no checks.
      if (!hasCopy) this.#beginOutage(error);
      else if (this.#setup.failFast) this.#probe.probeIfDue();
    } else {
      outages.available();
      this.#outage = undefined;
    }
    if (state === before) return;
    // The outage log reports the end of an outage.
    if (state === "closed" || (state !== "unavailable" && !this.#wasReady))
      log.info(`the client is ${state}`, {});
    if (state === "ready") {
      this.#wasReady = true;
      onReady();
    }
    emitter.set(state);
    metrics.state?.(state);
    if (state !== "ready") return;
    this.#readiness.recheck();
    if (this.#readiness.isAwaited) this.#probe.probeNow();
  }

  /** Called with the result of each call for checks. */
  onCall(error: ClientError | undefined, call: CallAttempt): void {
    const { hasCopy } = this.#setup;
    if (error === undefined) {
      this.#hasAnswered = true;
      this.#outage = undefined;
      if (!hasCopy) this.setState("ready");
      this.#readiness.recheck();
    } else if (isOutage(error, call)) {
      this.#lastError = error;
      if (!hasCopy) this.setState("unavailable", error);
      else if (this.emitter.state === "unavailable") this.#beginOutage(error);
    }
  }

  /** The error of a check that fails fast; undefined while checks are to be sent. */
  readonly outageError = (): ClientError | undefined => {
    if (this.#outage === undefined) return undefined;
    this.#hasFailedFast = true;
    this.#probe.probeIfDue();
    return unavailable(this.#outage);
  };

  ready(options: ReadyOptions): Promise<void> {
    return this.#readiness.wait(options);
  }

  close(): void {
    this.setState("closed");
    this.#setup.outages.close();
    this.#probe.close();
    this.#readiness.close();
  }

  get #isProbeWanted(): boolean {
    if (this.#readiness.isAwaited && !this.#setup.hasCopy) return true;
    return this.#outage !== undefined && (this.#hasFailedFast || this.#setup.failFast);
  }

  #beginOutage(error: ClientError | undefined): void {
    this.#outage = error ?? this.#outage ?? UNREACHED;
    if (this.#setup.failFast) this.#probe.probeIfDue();
  }
}

const UNREACHED = new ClientError("UNAVAILABLE", "the token blacklist cannot be reached");

function unavailable(cause: ClientError): ClientError {
  const { message, reason, connection, detail } = cause;
  return new ClientError("UNAVAILABLE", message, { reason, connection, detail, cause });
}

/** Whether `error` shows that the service is unavailable: not an error of the check itself, of a short deadline, or of one replica that is shutting down. */
function isOutage({ code, reason, connection }: ClientError, { timeoutMs, attempt }: CallAttempt): boolean {
  if (code === "DEADLINE_EXCEEDED") return timeoutMs >= CHECK_TIMEOUT_MS / 2;
  if (reason === "DRAINING" || connection === "lost") return attempt >= DECISIVE_ATTEMPT;
  return !["INVALID_ARGUMENT", "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED", "CANCELLED"].includes(code);
}
