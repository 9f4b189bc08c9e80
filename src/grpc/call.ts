import { status } from "@grpc/grpc-js";
import type { Logger } from "pino";
import { type KnownCaller, type Principal, UNAUTHENTICATED_PRINCIPAL } from "../caller.ts";
import type { ServiceError } from "../errors.ts";
import type { LogSampling } from "../logging/log-sampling.ts";
import type { MethodCalls } from "../metrics/call-metrics.ts";
import type { Clock } from "../time/clock.ts";
import type { CallSpans } from "../tracing/call-spans.ts";
import { endCall, type MethodSpans } from "../tracing/method-spans.ts";
import { auditCall, isLogged, leavesOutcomeUnknown, logCall, type MethodLogging } from "./call-log.ts";
import { codeOf } from "./status.ts";

/** What a call needs of its method. Created once per method. */
export interface CalledMethod extends MethodLogging {
  /** Counts and times the calls. */
  readonly count: MethodCalls;
  /** Creates the spans of calls; undefined if tracing is off. */
  readonly spans: MethodSpans | undefined;
  readonly clock: Clock;
  /** Undefined: the calls of this method get no log line. */
  readonly log: Logger | undefined;
  /** Undefined if there is no audit log. */
  readonly auditLog: Logger | undefined;
  /** Samples the lines about refusals. */
  readonly logSampling: LogSampling;
}

/**
 * A call from its arrival to its end, which happens once: the call is counted, timed, traced, logged and audited. Calls of all kinds derive from
 * this class, since a separate object would cost an allocation per call. As a KnownCaller, a call tells the domain who the caller is, and whether
 * the call is still open.
 */
export abstract class Call<M extends CalledMethod = CalledMethod> implements KnownCaller {
  protected readonly method: M;
  /** When the call arrived, by the monotonic clock. */
  readonly #began: number;
  /** The request, once it has arrived and is well-formed. */
  protected request: object | undefined;
  /** The response, once the handler has returned it. */
  protected output: object | undefined;
  /** Whether the handler was called, so that something may have changed. */
  protected hasReachedHandler = false;
  /** {@link UNAUTHENTICATED_PRINCIPAL} until the caller is authenticated. */
  principal: Principal = UNAUTHENTICATED_PRINCIPAL;
  /** Whether the call has ended. */
  isGone = false;
  readonly trace: CallSpans | undefined;

  /** `trace` has the spans of the call and its phases; undefined if the call is not traced. */
  constructor(method: M, trace?: CallSpans) {
    this.method = method;
    this.#began = method.clock.monotonic();
    this.trace = trace;
    method.count.begin();
  }

  /** The address of the client's connection. */
  abstract get peer(): string;

  /** Releases what the call holds. Called once, when it ends. */
  protected release(): void {}

  /** Records that the transport has refused the call. No effect if the call has ended. */
  failed(error: ServiceError): void {
    this.end(codeOf(error), error);
  }

  /** Ends the call. True if its response or error may now be sent, false if the call had already ended. */
  end(code: status, failure?: ServiceError): boolean {
    if (this.isGone) return false;
    this.isGone = true;
    this.release();
    const { method } = this;
    const milliseconds = method.clock.monotonic() - this.#began;
    method.count.end(code, milliseconds / 1000);
    if (this.trace !== undefined) {
      endCall(this.trace, { code: status[code], reason: failure?.reason, peer: this.peer });
    }
    // Most calls end here: build nothing for lines that are not written.
    const willLog = isLogged(method, code);
    const willAudit = method.auditLog !== undefined && method.describeForAudit !== undefined;
    if (!willLog && !willAudit) return true;
    const ended = {
      code,
      failure,
      milliseconds,
      from: this,
      request: this.request,
      output: code === status.OK ? this.output : undefined,
      outcomeUnknown:
        method.describeForAudit !== undefined && this.hasReachedHandler && leavesOutcomeUnknown(code),
    };
    if (willLog) logCall(method, ended);
    if (willAudit) auditCall(method, ended);
    return true;
  }
}

/** A call that the transport refused before its handler was told of it. */
export class RefusedCall extends Call {
  readonly peer: string;

  constructor(method: CalledMethod, peer: string) {
    super(method);
    this.peer = peer;
  }
}
