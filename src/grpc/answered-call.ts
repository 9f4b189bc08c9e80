import type { DescService } from "@bufbuild/protobuf";
import { admissionError } from "../admission/admission.ts";
import type { Share } from "../admission/fair-capacity.ts";
import type { KnownCaller } from "../caller.ts";
import { ServiceError } from "../errors.ts";
import type { InputOf, OutputOf, UnaryMethodName } from "../protobuf/service-definition.ts";
import { AuthenticatedCall, type AuthenticatedMethod } from "./authenticated-call.ts";
import { malformedRequest } from "./violations.ts";

/** Translates a request for the domain, and the result back. An error that it throws becomes the call's status. */
export type Handler<I, O> = (request: I, caller: KnownCaller) => O | Promise<O>;

/** The handlers of a service, one for each unary method. */
export type Handlers<S extends DescService> = {
  readonly [K in UnaryMethodName<S>]: Handler<InputOf<S, K>, OutputOf<S, K>>;
};

/** A method that answers a request with one response. */
export interface AnsweredMethod<I, O> extends AuthenticatedMethod {
  readonly handler: Handler<I, O>;
}

/** A call with one request and one response. Takes a place among the calls in flight, limits the call's time, and calls the handler. */
export abstract class AnsweredCall<I extends object, O extends object> extends AuthenticatedCall<
  AnsweredMethod<I, O>
> {
  #cancelTimer: (() => void) | undefined;
  #isInFlight = false;
  #isBeingHandled = false;
  /** The kind of place that the call has, needed to give it back; undefined while the place is attributed to no caller. */
  #share: Share | undefined;
  /** The caller to which the place is attributed. A second authentication of the call may find another name. */
  protected owner = "";

  /** Encodes the response before it is passed to grpc-js, since its size must be known. Throws an error if `output` cannot be encoded. */
  protected abstract encode(output: O): Buffer;

  /** Ends the call successfully. No effect if it has ended. */
  protected abstract succeed(encoded: Buffer): void;

  /** Takes a place among the calls in flight. If none is free, refuses the call and returns false. */
  protected enter(): boolean {
    const refusal = this.method.admission.enter(this);
    this.#isInFlight = refusal === undefined;
    if (refusal !== undefined) this.fail(admissionError(refusal));
    return this.#isInFlight;
  }

  protected override attributeTo(caller: string): void {
    if (this.#share !== undefined || !this.#isInFlight) return;
    this.#share = this.method.admission.claim(caller);
    if (this.#share === undefined) throw admissionError("OVERLOADED");
    this.owner = caller;
  }

  /** Gives back the call's place among the calls in flight, if it has one. */
  protected leave(): void {
    if (!this.#isInFlight) return;
    this.#isInFlight = false;
    this.method.admission.leave(this.#share, this.owner);
  }

  /** Fails the call after `ms`, unless it has ended by then. */
  protected failAfter(ms: number): void {
    this.#cancelTimer = this.method.clock.schedule(ms, () =>
      this.fail(new ServiceError("DEADLINE_EXCEEDED", `not answered within ${ms} ms`)),
    );
  }

  /** Calls the handler, and ends the call with its result. */
  protected override proceed(): void {
    const { checkOwnToken, handler, input } = this.method;
    if (this.request === undefined) {
      this.fail(malformedRequest(input));
      return;
    }
    const request = this.request as I;
    this.hasReachedHandler = true;
    this.#isBeingHandled = true;
    let output: O | Promise<O>;
    try {
      output =
        checkOwnToken === undefined
          ? handler(request, this)
          : checkOwnToken(this).then(() => handler(request, this));
    } catch (error) {
      this.#handlerFailed(error);
      return;
    }
    if (output instanceof Promise) {
      output.then(
        (value) => this.#handlerReturned(value),
        (error) => this.#handlerFailed(error),
      );
    } else this.#handlerReturned(output);
  }

  #handlerReturned(output: O): void {
    this.output = output;
    let encoded: Buffer;
    try {
      encoded = this.encode(output);
    } catch (error) {
      this.#handlerFailed(error);
      return;
    }
    this.#handlerEnded();
    this.succeed(encoded);
  }

  #handlerFailed(error: unknown): void {
    this.#handlerEnded();
    this.fail(error);
  }

  #handlerEnded(): void {
    this.#isBeingHandled = false;
    this.leave();
  }

  protected override release(): void {
    this.#cancelTimer?.();
    // A handler that still runs occupies the place until it returns.
    if (!this.#isBeingHandled) this.leave();
  }
}
