import type { PeerCertificate } from "node:tls";
import type { DescMethodUnary, DescService } from "@bufbuild/protobuf";
import type { handleUnaryCall, ServerUnaryCall, sendUnaryData } from "@grpc/grpc-js";
import { status } from "@grpc/grpc-js";
import type { Logger } from "pino";
import type { Authenticator, Credentials } from "../auth/authenticator.ts";
import type { KnownCaller } from "../caller.ts";
import { type Calls, refused } from "../calls.ts";
import type { Clock } from "../clock.ts";
import { invalidRequest, ServiceError } from "../errors.ts";
import { DEFAULT_DEADLINE_MS, SMALL_ANSWER_BYTES } from "../limits.ts";
import type { MethodCalls } from "../metrics/call-metrics.ts";
import type { Metrics } from "../metrics/metrics.ts";
import { NOBODY, type Principal, type Role } from "../principal.ts";
import type { CallSpans } from "../tracing/call-spans.ts";
import { endCall, type MethodSpans } from "../tracing/method-spans.ts";
import type { Tracing } from "../tracing/tracing.ts";
import type { Describe } from "./audit.ts";
import { authorize } from "./authorize.ts";
import { logCall } from "./call-log.ts";
import {
  encode,
  type InputOf,
  MALFORMED,
  methodDefinition,
  type OutputOf,
  type UnaryMethodName,
} from "./service-definition.ts";
import { codeOf, presentable, statusOf } from "./status.ts";

/** One implementation for each method. It translates and delegates; whatever it throws is mapped to a status here. */
export type Handlers<S extends DescService> = {
  [K in UnaryMethodName<S>]: Handler<InputOf<S, K>, OutputOf<S, K>>;
};

type Handler<I, O> = (request: I, caller: KnownCaller) => O | Promise<O>;

export interface CallEnvironment {
  readonly log: Logger;
  /** Absent: nothing is audited. */
  readonly auditLog: Logger | undefined;
  readonly authenticate: Authenticator;
  readonly clock: Clock;
  readonly calls: Calls;
  readonly metrics: Metrics;
  /** Absent: nobody takes spans. */
  readonly tracing: Tracing | undefined;
}

interface UnaryOptions<I, O> extends CallEnvironment {
  /** What the caller must be allowed to do. */
  readonly role: Role;
  /** Successful calls are logged at the level debug. */
  readonly quiet: boolean;
  /** What the log says of a call that went well, beside how long it took. Absent: nothing. */
  readonly summarize?: (output: O) => object;
  /** What the audit log says. Absent: the method changes nothing, and has none. */
  readonly describe?: Describe<I, O>;
}

interface Setup<I, O> extends UnaryOptions<I, O> {
  readonly method: DescMethodUnary;
  /** Where the method's calls are counted. */
  readonly count: MethodCalls;
  /** What makes spans of them; absent where nobody takes any. */
  readonly spans: MethodSpans | undefined;
}

/**
 * Everything that happens around a handler: admission, authentication, the deadline, cancellation, the mapping of errors, the log line.
 * grpc-js does none of it: it does not wait for promises, and it would send any error's message to the caller.
 */
export function unary<I extends object, O extends object>(
  method: DescMethodUnary,
  handler: Handler<I, O>,
  options: UnaryOptions<I, O>,
): handleUnaryCall<I, O> {
  const { metrics, tracing } = options;
  const definition = methodDefinition(method);
  const count = metrics.calls.of(definition);
  const setup = { ...options, method, count, spans: tracing?.method(definition) };
  return (call, callback) => {
    new UnaryCall(call, callback, setup).run(handler);
  };
}

class UnaryCall<I extends object, O extends object> implements KnownCaller, Credentials {
  readonly #call: ServerUnaryCall<I, O>;
  readonly #callback: sendUnaryData<O>;
  readonly #options: Setup<I, O>;
  readonly #began: number;
  #cancelTimer = () => {};
  #letGo: (() => void) | undefined;
  #output: O | undefined;
  /** Whoever calls, once that is known. */
  principal: Principal = NOBODY;
  /** True once the call has its answer, whoever gave it. */
  gone = false;
  readonly trace: CallSpans | undefined;

  constructor(call: ServerUnaryCall<I, O>, callback: sendUnaryData<O>, options: Setup<I, O>) {
    this.#call = call;
    this.#callback = callback;
    this.#options = options;
    this.#began = options.clock.monotonic();
    options.count.begin();
    this.trace = options.spans?.begin(call.metadata);
  }

  run(handler: Handler<I, O>): void {
    const { calls } = this.#options;
    const refusal = calls.enter(() => this.#call.getPeer());
    if (refusal !== undefined) {
      this.#fail(refused(refusal));
      return;
    }
    this.#watch();
    let principal: Principal | Promise<Principal>;
    try {
      principal = this.#options.authenticate(this);
    } catch (error) {
      this.#failed(error);
      return;
    }
    if (principal instanceof Promise) {
      principal.then((known) => this.#admitted(known, handler), this.#failed);
    } else this.#admitted(principal, handler);
  }

  get authorization(): readonly unknown[] {
    return this.#call.metadata.get("authorization");
  }

  certificate(): PeerCertificate | undefined {
    return this.#call.getAuthContext().sslPeerCertificate;
  }

  #admitted(principal: Principal, handler: Handler<I, O>): void {
    this.principal = principal;
    let output: O | Promise<O>;
    try {
      authorize(principal, this.#options.role);
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
    return handler(this.#call.request, this);
  }

  /**
   * Encodes the answer: its size has to be known while it waits for a caller who may read slowly, or not at all, and what
   * cannot be encoded is an error like any other.
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
    this.#options.calls.leave();
    this.#succeed(encoded);
  };

  readonly #failed = (error: unknown): void => {
    this.#options.calls.leave();
    this.#fail(error);
  };

  #watch(): void {
    const deadline = this.#call.getDeadline();
    if (deadline === Number.POSITIVE_INFINITY) {
      this.#cancelTimer = this.#options.clock.schedule(DEFAULT_DEADLINE_MS, () => {
        this.#fail(new ServiceError("DEADLINE_EXCEEDED", `not answered within ${DEFAULT_DEADLINE_MS} ms`));
      });
    }
    // grpc-js answers the caller's own deadline itself and then says "cancelled", as it does for every call that has ended.
    this.#call.once("cancelled", () => {
      this.#letGo?.();
      const late = Number(deadline) <= Date.now();
      this.#end(late ? status.DEADLINE_EXCEEDED : status.CANCELLED);
    });
  }

  #succeed(encoded: Buffer): void {
    const { calls } = this.#options;
    if (encoded.length > SMALL_ANSWER_BYTES && !this.gone) {
      const peer = this.#call.getPeer();
      // The work is done, so this must be one of the codes after which the outcome is unknown.
      if (!calls.mayHold(peer)) {
        this.#fail(new ServiceError("CANCELLED", "the connection leaves its answers unread"));
        return;
      }
      this.#letGo = calls.hold(peer, encoded.length);
    }
    if (this.#end(status.OK)) this.#callback(null, encoded as unknown as O);
  }

  #fail(error: unknown): void {
    const failure = presentable(error);
    if (this.#end(codeOf(failure), failure)) this.#callback(statusOf(failure));
  }

  /** Claims the call's one end. False for whoever comes later. */
  #end(code: status, failure?: ServiceError): boolean {
    if (this.gone) return false;
    this.gone = true;
    this.#cancelTimer();
    const { clock, count } = this.#options;
    const milliseconds = clock.monotonic() - this.#began;
    count.end(code, milliseconds / 1000);
    if (this.trace !== undefined) {
      endCall(this.trace, { code: status[code], reason: failure?.reason, peer: this.#call.getPeer() });
    }
    this.#log(code, milliseconds, failure);
    this.#audit(code, failure);
    return true;
  }

  #audit(code: status, failure: ServiceError | undefined): void {
    const { auditLog, describe } = this.#options;
    if (auditLog === undefined || describe === undefined) return;
    const output = code === status.OK ? this.#output : undefined;
    const parts = this.#isReadable ? describe(this.#call.request, { output, code }) : [{}];
    for (const [index, part] of parts.entries()) {
      auditLog.info(
        {
          method: this.#options.method.name,
          code: status[code],
          ...(failure === undefined ? {} : { reason: failure.reason }),
          caller: this.principal.name,
          peer: this.#call.getPeer(),
          ...(parts.length === 1 ? {} : { part: index + 1, parts: parts.length }),
          ...part,
        },
        "audit",
      );
    }
  }

  get #isReadable(): boolean {
    return (this.#call.request as unknown) !== MALFORMED;
  }

  #log(code: status, milliseconds: number, failure: ServiceError | undefined): void {
    const { log, quiet, summarize } = this.#options;
    const output = code === status.OK ? this.#output : undefined;
    const ended = {
      method: this.#options.method.name,
      code,
      failure,
      milliseconds,
      caller: this.principal.name,
      peer: () => this.#call.getPeer(),
      ...(summarize === undefined || output === undefined ? {} : { about: () => summarize(output) }),
    };
    logCall(log, ended, { quiet });
  }
}
