import type { DescMethodUnary, DescService } from "@bufbuild/protobuf";
import type { handleUnaryCall, ServerUnaryCall, sendUnaryData } from "@grpc/grpc-js";
import { status } from "@grpc/grpc-js";
import type { Logger } from "pino";
import type { Caller } from "../caller.ts";
import type { Clock } from "../clock.ts";
import { invalidRequest, ServiceError } from "../errors.ts";
import { DEFAULT_DEADLINE_MS, SMALL_ANSWER_BYTES } from "../limits.ts";
import type { Metrics } from "../metrics.ts";
import type { Calls } from "./calls.ts";
import {
  encode,
  type InputOf,
  MALFORMED,
  type OutputOf,
  type UnaryMethodName,
} from "./service-definition.ts";
import { codeOf, presentable, statusOf } from "./status.ts";

/** One implementation for each method. It translates and delegates; whatever it throws is mapped to a status here. */
export type Handlers<S extends DescService> = {
  [K in UnaryMethodName<S>]: Handler<InputOf<S, K>, OutputOf<S, K>>;
};

type Handler<I, O> = (request: I, caller: Caller) => O | Promise<O>;

export interface CallEnvironment {
  readonly log: Logger;
  readonly clock: Clock;
  readonly calls: Calls;
  readonly metrics: Metrics;
}

/**
 * Everything that happens around a handler: admission, the deadline, cancellation, the mapping of errors, the log line.
 * grpc-js does none of it: it does not wait for promises, and it would send any error's message to the caller.
 */
export function unary<I extends object, O extends object>(
  method: DescMethodUnary,
  handler: Handler<I, O>,
  options: CallEnvironment & { quiet: boolean },
): handleUnaryCall<I, O> {
  return (call, callback) => {
    new UnaryCall(method, call, callback, options).run(handler);
  };
}

class UnaryCall<I extends object, O extends object> implements Caller {
  readonly #method: DescMethodUnary;
  readonly #call: ServerUnaryCall<I, O>;
  readonly #callback: sendUnaryData<O>;
  readonly #options: CallEnvironment & { quiet: boolean };
  readonly #began: number;
  #cancelTimer = () => {};
  #letGo: (() => void) | undefined;
  /** True once the call has its answer, whoever gave it. */
  gone = false;

  constructor(
    method: DescMethodUnary,
    call: ServerUnaryCall<I, O>,
    callback: sendUnaryData<O>,
    options: CallEnvironment & { quiet: boolean },
  ) {
    this.#method = method;
    this.#call = call;
    this.#callback = callback;
    this.#options = options;
    this.#began = options.clock.monotonic();
  }

  run(handler: Handler<I, O>): void {
    const { calls } = this.#options;
    const refusal = calls.enter(() => this.#call.getPeer());
    if (refusal !== undefined) {
      this.#fail(new ServiceError(refusal, REFUSALS[refusal]));
      return;
    }
    this.#watch();
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
    if ((this.#call.request as unknown) === MALFORMED) {
      throw invalidRequest([
        { field: "", description: `the message is not a well-formed ${this.#method.input.typeName}` },
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
    try {
      encoded = encode(this.#method.output, output);
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
    const { clock, metrics } = this.#options;
    const milliseconds = clock.monotonic() - this.#began;
    metrics.observeCall(this.#method.name, status[code], milliseconds / 1000);
    this.#log(code, milliseconds, failure);
    return true;
  }

  #log(code: status, milliseconds: number, failure: ServiceError | undefined): void {
    const { log, quiet } = this.#options;
    const level = levelOf(code, quiet);
    if (!log.isLevelEnabled(level)) return;
    log[level](
      {
        method: this.#method.name,
        code: status[code],
        ...(failure === undefined ? {} : { reason: failure.reason, detail: failure.message }),
        ...(failure?.cause === undefined ? {} : { err: failure.cause }),
        duration_ms: Math.round(milliseconds * 1000) / 1000,
        peer: this.#call.getPeer(),
      },
      "call",
    );
  }
}

const REFUSALS = {
  DRAINING: "this replica is shutting down",
  OVERLOADED: "too many calls are being answered",
} as const;

function levelOf(code: status, quiet: boolean): "debug" | "info" | "warn" | "error" {
  if (code === status.OK) return quiet ? "debug" : "info";
  if (code === status.INTERNAL) return "error";
  return code === status.UNAVAILABLE || code === status.RESOURCE_EXHAUSTED ? "warn" : "info";
}
