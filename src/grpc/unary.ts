import type { PeerCertificate } from "node:tls";
import type { DescMethodUnary, DescService } from "@bufbuild/protobuf";
import type { handleUnaryCall, Metadata, sendUnaryData } from "@grpc/grpc-js";
import { status } from "@grpc/grpc-js";
import type { Logger } from "pino";
import { type Admission, admissionError } from "../admission/admission.ts";
import type { Share } from "../admission/fair-capacity.ts";
import type { Authenticator, Credentials } from "../auth/authenticator.ts";
import type { CallerValidity } from "../auth/caller-validity.ts";
import type { KnownCaller } from "../caller.ts";
import type { Connections } from "../connections/connections.ts";
import { invalidRequest, ServiceError } from "../errors.ts";
import { DEFAULT_DEADLINE_MS, SMALL_ANSWER_BYTES } from "../limits.ts";
import type { LogSampling } from "../logging/log-sampling.ts";
import type { MethodCalls } from "../metrics/call-metrics.ts";
import type { Metrics } from "../metrics/metrics.ts";
import { type Principal, type Role, UNAUTHENTICATED_PRINCIPAL } from "../principal.ts";
import {
  encode,
  type InputOf,
  MALFORMED,
  methodDefinition,
  type OutputOf,
  type UnaryMethodName,
} from "../protobuf/service-definition.ts";
import type { Clock } from "../time/clock.ts";
import type { CallSpans } from "../tracing/call-spans.ts";
import { endCall, type MethodSpans } from "../tracing/method-spans.ts";
import type { Tracing } from "../tracing/tracing.ts";
import { type Describe, isOutcomeUnknown } from "./audit.ts";
import { authorize } from "./authorize.ts";
import { isUnlogged, kindOf, logCall } from "./call-log.ts";
import type { CallHeaders, HeadersJudge, IncomingRules } from "./incoming-call.ts";
import { codeOf, presentable, statusOf } from "./status.ts";

/** One handler for each method. It translates and delegates; errors that it throws are mapped to a status here. */
export type Handlers<S extends DescService> = {
  [K in UnaryMethodName<S>]: Handler<InputOf<S, K>, OutputOf<S, K>>;
};

type Handler<I, O> = (request: I, caller: KnownCaller) => O | Promise<O>;

export interface CallEnvironment {
  readonly log: Logger;
  /** Absent: nothing is audited. */
  readonly auditLog: Logger | undefined;
  /** Samples the lines about refusals. */
  readonly sampling: LogSampling;
  readonly authenticate: Authenticator;
  /** Tells whether an earlier result of `authenticate` still holds. */
  readonly callers: CallerValidity;
  readonly clock: Clock;
  readonly calls: Admission;
  /** Is told when a caller has been authenticated on a connection. */
  readonly connections: Pick<Connections, "authenticated">;
  readonly metrics: Metrics;
  /** Absent if tracing is off. */
  readonly tracing: Tracing | undefined;
}

/**
 * The metadata property that holds the admitted call, by which the handler finds it. A WeakMap would do, but its short-lived keys cost the
 * garbage collector a sixth of a call's time.
 */
const OPENED = Symbol("opened call");

type OpenedMetadata = Metadata & { [OPENED]?: unknown };

/** A method in the form that the server registers. */
export interface UnaryMethod<I, O> {
  readonly rules: IncomingRules;
  readonly handle: handleUnaryCall<I, O>;
}

interface UnaryOptions<I, O> extends CallEnvironment {
  /** Maximum size of a request, in bytes. */
  readonly maxBytes: number;
  /** The role that the caller needs. */
  readonly role: Role;
  /** Successful calls are logged at level debug. */
  readonly quiet: boolean;
  /** Further fields of the log line of a successful call. Absent: none. */
  readonly summarize?: (output: O) => object;
  /** The content of the audit log. Absent: the method changes nothing, and is not audited. */
  readonly describe?: Describe<I, O>;
}

interface Setup<I, O> extends UnaryOptions<I, O> {
  readonly method: DescMethodUnary;
  /** Counts the method's calls. */
  readonly count: MethodCalls;
  /** Creates spans; absent if tracing is off. */
  readonly spans: MethodSpans | undefined;
}

/**
 * The life of a unary call: admission, authentication, the deadline, cancellation, error mapping, the log line. grpc-js provides none of
 * it: it does not wait for promises, and it would send the message of any error to the caller.
 */
export function unary<I extends object, O extends object>(
  method: DescMethodUnary,
  handler: Handler<I, O>,
  options: UnaryOptions<I, O>,
): UnaryMethod<I, O> {
  const { metrics, tracing } = options;
  const definition = methodDefinition(method);
  const count = metrics.calls.of(definition);
  const setup = { ...options, method, count, spans: tracing?.method(definition) };
  return {
    rules: {
      maxBytes: options.maxBytes,
      open: (headers) => {
        const call = new UnaryCall<I, O>(headers, setup);
        (headers.metadata as OpenedMetadata)[OPENED] = call;
        return call;
      },
    },
    handle: (call, callback) => {
      const opened = (call.metadata as OpenedMetadata)[OPENED] as UnaryCall<I, O> | undefined;
      // A call that was not admitted is not answered.
      if (opened === undefined) callback(statusOf(presentable(new Error("a call came without its headers"))));
      else opened.run(call.request, callback, handler);
    },
  };
}

class UnaryCall<I extends object, O extends object> implements KnownCaller, Credentials, HeadersJudge {
  readonly #headers: CallHeaders;
  #request: I | undefined;
  #callback: sendUnaryData<O> | undefined;
  readonly #options: Setup<I, O>;
  readonly #began: number;
  #cancelTimer = () => {};
  #letGo: (() => void) | undefined;
  /** The version of {@link CallerValidity} at which the caller was judged. */
  #judgedAt = 0;
  /** Whether the call occupies a place among the calls in flight, with the place's part of the room and its owner. */
  #isCountedIn = false;
  #part: Share | undefined;
  #owner = "";
  /** Size of its request in bytes if that is large. */
  #requestBytes = 0;
  /** The part of the room that the large request occupies. */
  #requestPart: Share = "common";
  #output: O | undefined;
  /** The handler was called, so something may have changed. */
  #begun = false;
  /** The caller, once authenticated. */
  principal: Principal = UNAUTHENTICATED_PRINCIPAL;
  /** True once the call has ended. */
  gone = false;
  readonly trace: CallSpans | undefined;

  constructor(headers: CallHeaders, options: Setup<I, O>) {
    this.#headers = headers;
    this.#options = options;
    this.#began = options.clock.monotonic();
    options.count.begin();
    this.trace = options.spans?.begin(headers.metadata);
  }

  judge(): boolean | Promise<boolean> {
    const { calls } = this.#options;
    const refusal = calls.enter(this.#peer);
    if (refusal !== undefined) {
      this.#fail(admissionError(refusal));
      return false;
    }
    this.#isCountedIn = true;
    this.#watch();
    return this.#authenticate();
  }

  #authenticate(): boolean | Promise<boolean> {
    const { authenticate, callers } = this.#options;
    this.#judgedAt = callers.version;
    let principal: Principal | Promise<Principal>;
    try {
      principal = authenticate(this);
    } catch (error) {
      return this.#turnAway(error);
    }
    if (!(principal instanceof Promise)) return this.#admit(principal);
    return principal.then(
      (known) => this.#admit(known),
      (error) => this.#turnAway(error),
    );
  }

  #admit(principal: Principal): boolean {
    this.principal = principal;
    this.#options.connections.authenticated(this.#peer, principal.name);
    try {
      authorize(principal, this.#options.role);
      this.#claim(principal.name);
    } catch (error) {
      return this.#turnAway(error);
    }
    return !this.gone;
  }

  #claim(caller: string): void {
    if (this.#part !== undefined || !this.#isCountedIn) return;
    this.#part = this.#options.calls.claim(caller);
    if (this.#part === undefined) throw admissionError("OVERLOADED");
    this.#owner = caller;
  }

  get caller(): string {
    return this.principal.name;
  }

  received(bytes: number): void {
    if (this.gone) return;
    const part = this.#options.calls.holdRequest(this.#owner, bytes);
    if (part === undefined) {
      this.#failed(new ServiceError("OVERLOADED", "too much of large requests is being answered"));
      return;
    }
    this.#requestBytes = bytes;
    this.#requestPart = part;
  }

  #turnAway(error: unknown): false {
    this.#failed(error);
    return false;
  }

  get authorization(): readonly unknown[] {
    return this.#headers.metadata.get("authorization");
  }

  certificate(): PeerCertificate | undefined {
    return this.#headers.call.getAuthContext().sslPeerCertificate;
  }

  /** Answers the call, whose message has arrived. */
  run(request: I, callback: sendUnaryData<O>, handler: Handler<I, O>): void {
    if (this.gone) return;
    this.#request = request;
    this.#callback = callback;
    // Between the headers and the message, unread answers may have accumulated on the connection.
    if (this.#options.calls.isUnread(this.#peer)) {
      this.#failed(admissionError("OVERLOADED"));
      return;
    }
    // Between the headers and the message, the token may have expired, or keys and roles may have changed.
    const isAdmitted = this.#options.callers.holds(this.principal, this.#judgedAt) || this.#authenticate();
    if (isAdmitted instanceof Promise) void isAdmitted.then((known) => this.#answerIf(known, handler));
    else this.#answerIf(isAdmitted, handler);
  }

  #answerIf(isAdmitted: boolean, handler: Handler<I, O>): void {
    if (isAdmitted) this.#answer(handler);
    // The call may have ended meanwhile, and its end did not release its place.
    else this.#leave();
  }

  #answer(handler: Handler<I, O>): void {
    let output: O | Promise<O>;
    try {
      output = this.#handle(handler);
    } catch (error) {
      this.#failed(error);
      return;
    }
    if (output instanceof Promise) output.then(this.#answered, this.#failed);
    else this.#answered(output);
  }

  #handle(handler: Handler<I, O>): O | Promise<O> {
    if (!this.#isReadable) {
      throw invalidRequest([
        { field: "", description: `the message is not a well-formed ${this.#options.method.input.typeName}` },
      ]);
    }
    this.#begun = true;
    return handler(this.#request as I, this);
  }

  /**
   * Encodes the answer. Its size must be known while it waits for a caller that reads slowly or not at all, and a failure to encode is an
   * error like any other.
   */
  readonly #answered = (output: O): void => {
    let encoded: Buffer;
    this.#output = output;
    try {
      encoded = encode(this.#options.method.output, output);
    } catch (error) {
      this.#failed(error);
      return;
    }
    this.#leave();
    this.#succeed(encoded);
  };

  readonly #failed = (error: unknown): void => {
    this.#leave();
    this.#fail(error);
  };

  /** Releases the call's place among the calls in flight, if it has one. */
  #leave(): void {
    if (!this.#isCountedIn) return;
    this.#isCountedIn = false;
    const { calls } = this.#options;
    if (this.#requestBytes > 0) calls.letGo(this.#requestPart, this.#owner, this.#requestBytes);
    calls.leave(this.#part, this.#owner);
  }

  failed(error: ServiceError): void {
    this.#leave();
    this.#end(codeOf(error), error);
  }

  ended(): void {
    this.#letGo?.();
    if (this.gone) return;
    // grpc-js itself answers a call whose deadline has passed, and then reports it as cancelled, as it does for every ended call.
    const late = Number(this.#headers.call.getDeadline()) <= Date.now();
    this.#end(late ? status.DEADLINE_EXCEEDED : status.CANCELLED);
    // Before the message has arrived, no other code path releases the place.
    if (this.#callback === undefined) this.#leave();
  }

  #watch(): void {
    if (this.#headers.call.getDeadline() === Number.POSITIVE_INFINITY) {
      this.#cancelTimer = this.#options.clock.schedule(DEFAULT_DEADLINE_MS, () => {
        this.#fail(new ServiceError("DEADLINE_EXCEEDED", `not answered within ${DEFAULT_DEADLINE_MS} ms`));
      });
    }
  }

  #succeed(encoded: Buffer): void {
    const { calls } = this.#options;
    if (encoded.length > SMALL_ANSWER_BYTES && !this.gone) {
      const peer = this.#peer();
      // The work is done, so this must be a code after which the outcome is unknown.
      if (!calls.mayHold(peer)) {
        this.#fail(new ServiceError("CANCELLED", "the connection leaves its answers unread"));
        return;
      }
      this.#letGo = calls.hold(peer, encoded.length);
    }
    if (this.#end(status.OK)) this.#callback?.(null, encoded as unknown as O);
  }

  #fail(error: unknown): void {
    const failure = presentable(error);
    if (!this.#end(codeOf(failure), failure)) return;
    if (this.#callback !== undefined) this.#callback(statusOf(failure));
    else {
      this.#leave();
      this.#headers.refuse(statusOf(failure));
    }
  }

  /** Claims the right to end the call, once; false if it has ended already. */
  #end(code: status, failure?: ServiceError): boolean {
    if (this.gone) return false;
    this.gone = true;
    this.#cancelTimer();
    const { clock, count } = this.#options;
    const milliseconds = clock.monotonic() - this.#began;
    count.end(code, milliseconds / 1000);
    if (this.trace !== undefined) {
      endCall(this.trace, { code: status[code], reason: failure?.reason, peer: this.#peer() });
    }
    this.#log(code, milliseconds, failure);
    this.#audit(code, failure);
    return true;
  }

  readonly #peer = (): string => this.#headers.call.getPeer();

  #audit(code: status, failure: ServiceError | undefined): void {
    const { auditLog, describe } = this.#options;
    if (auditLog === undefined || describe === undefined) return;
    const output = code === status.OK ? this.#output : undefined;
    const outcomeUnknown = this.#mayHaveChanged(code);
    const kind = {
      method: this.#options.method.name,
      code: status[code],
      ...(failure === undefined ? {} : { reason: failure.reason }),
    };
    // The audit log has every call that has changed something or may have. Refused calls are sampled.
    const sampled =
      code === status.OK || outcomeUnknown
        ? {}
        : this.#options.sampling.admit(kindOf("audit", kind, this.principal.name), (left) =>
            auditLog.info({ ...kind, ...left }, "audit"),
          );
    if (sampled === undefined) return;
    const parts = this.#isReadable ? describe(this.#request as I, { output, outcomeUnknown }) : [{}];
    for (const [index, part] of parts.entries()) {
      auditLog.info(
        {
          ...kind,
          caller: this.principal.name,
          peer: this.#peer(),
          ...(parts.length === 1 ? {} : { part: index + 1, parts: parts.length }),
          ...part,
          ...sampled,
        },
        "audit",
      );
    }
  }

  /** Whether a failed call may have changed something. */
  #mayHaveChanged(code: status): boolean {
    return this.#options.describe !== undefined && this.#begun && isOutcomeUnknown(code);
  }

  get #isReadable(): boolean {
    return this.#request !== undefined && (this.#request as unknown) !== MALFORMED;
  }

  #log(code: status, milliseconds: number, failure: ServiceError | undefined): void {
    const { log, quiet, sampling, summarize } = this.#options;
    // Most calls end here: build nothing for a line that is not written.
    if (isUnlogged(log, code, quiet)) return;
    const output = code === status.OK ? this.#output : undefined;
    const ended = {
      method: this.#options.method.name,
      code,
      failure,
      milliseconds,
      caller: this.principal.name,
      peer: this.#peer,
      ...(summarize === undefined || output === undefined ? {} : { about: () => summarize(output) }),
    };
    logCall(log, ended, { quiet, sampling: this.#mayHaveChanged(code) ? undefined : sampling });
  }
}
