import type { PeerCertificate } from "node:tls";
import type { Metadata, ServerUnaryCall, sendUnaryData } from "@grpc/grpc-js";
import { status } from "@grpc/grpc-js";
import { admissionError } from "../admission/admission.ts";
import { ServiceError } from "../errors.ts";
import { DEFAULT_DEADLINE_MS, SMALL_ANSWER_BYTES } from "../limits.ts";
import { encode, MALFORMED } from "../protobuf/service-definition.ts";
import { AnsweredCall, type AnsweredMethod } from "./answered-call.ts";
import type { CallAdmission, CallHeaders } from "./incoming-call.ts";
import { codeOf, presentable, statusOf } from "./status.ts";

/**
 * The property of a call's metadata that holds our object for the call. The method's handler finds the object there, since grpc-js calls the
 * handler with the same metadata. With a WeakMap, garbage collection would take a sixth of the time of a call.
 */
export const CALL = Symbol("call");

export type CallMetadata = Metadata & { [CALL]?: unknown };

/**
 * The two functions that serve a unary method: `createAdmission` is to be called with the headers of each call. Once its message has arrived,
 * grpc-js calls `handle`.
 */
export function serveUnary<I extends object, O extends object>(method: AnsweredMethod<I, O>) {
  return {
    createAdmission: (headers: CallHeaders): CallAdmission => {
      const call = new UnaryCall<I, O>(headers, method);
      (headers.metadata as CallMetadata)[CALL] = call;
      return call;
    },
    handle: (call: ServerUnaryCall<I, O>, callback: sendUnaryData<O>): void => {
      const unaryCall = (call.metadata as CallMetadata)[CALL] as UnaryCall<I, O> | undefined;
      // Fail closed: without this object the caller has not been authenticated.
      if (unaryCall === undefined)
        callback(statusOf(presentable(new Error("a call came without its headers"))));
      else unaryCall.run(call.request, callback);
    },
  };
}

/** A unary call: admitted or refused by its headers, and answered once its message has arrived. */
class UnaryCall<I extends object, O extends object> extends AnsweredCall<I, O> implements CallAdmission {
  readonly #headers: CallHeaders;
  #callback: sendUnaryData<O> | undefined;
  /** Gives back the memory that a large request occupies; undefined if the request is not large. */
  #releaseRequest: (() => void) | undefined;
  /** Stops counting a large answer as unread; undefined if the answer is not large, or not sent yet. */
  #releaseAnswer: (() => void) | undefined;

  constructor(headers: CallHeaders, method: AnsweredMethod<I, O>) {
    super(method, method.spans?.begin(headers.metadata));
    this.#headers = headers;
  }

  get peer(): string {
    return this.#headers.call.getPeer();
  }

  get authorization(): readonly unknown[] {
    return this.#headers.metadata.get("authorization");
  }

  certificate(): PeerCertificate | undefined {
    return this.#headers.call.getAuthContext().sslPeerCertificate;
  }

  get caller(): string {
    return this.principal.name;
  }

  admit(): boolean | Promise<boolean> {
    if (!this.enter()) return false;
    if (this.#headers.call.getDeadline() === Number.POSITIVE_INFINITY) this.failAfter(DEFAULT_DEADLINE_MS);
    return this.authenticate();
  }

  receivedLarge(bytes: number): void {
    if (this.isGone) return;
    const { requests } = this.method.admission;
    // `owner` does not change from here on, so the share is given back under the name that took it.
    const share = requests.take(this.owner, bytes);
    if (share === undefined) {
      this.fail(new ServiceError("OVERLOADED", "too many bytes of large requests are in flight"));
      return;
    }
    this.#releaseRequest = () => requests.giveBack(share, this.owner, bytes);
  }

  ended(): void {
    this.#releaseAnswer?.();
    if (this.isGone) return;
    // grpc-js itself answers a call whose deadline has passed, and then reports that the call has ended, as if it were cancelled.
    const isPastDeadline = Number(this.#headers.call.getDeadline()) <= Date.now();
    this.end(isPastDeadline ? status.DEADLINE_EXCEEDED : status.CANCELLED);
  }

  /** Answers the call, whose message has arrived. */
  run(request: I, callback: sendUnaryData<O>): void {
    if (this.isGone) return;
    if ((request as unknown) !== MALFORMED) this.request = request;
    this.#callback = callback;
    // Since the call was admitted, unread answers may have accumulated on the connection.
    if (this.method.admission.hasTooManyUnreadAnswers(this)) {
      this.fail(admissionError("OVERLOADED"));
      return;
    }
    // Since the call was admitted, the token may have expired, or keys or roles may have changed.
    if (this.isAuthenticated) this.proceed();
    else this.authenticateAndProceed();
  }

  fail(error: unknown): void {
    const failure = presentable(error);
    if (!this.end(codeOf(failure), failure)) return;
    if (this.#callback === undefined) this.#headers.refuse(statusOf(failure));
    else this.#callback(statusOf(failure));
  }

  protected override encode(output: O): Buffer {
    return encode(this.method.output, output);
  }

  protected override succeed(encoded: Buffer): void {
    const { admission } = this.method;
    if (encoded.length > SMALL_ANSWER_BYTES && !this.isGone) {
      const { peer } = this;
      // The handler may have changed something, so the code must be one after which the client does not know the outcome.
      if (!admission.mayBuffer(peer)) {
        this.fail(new ServiceError("CANCELLED", "the client does not read its responses"));
        return;
      }
      this.#releaseAnswer = admission.bufferAnswer(peer, encoded.length);
    }
    if (this.end(status.OK)) this.#callback?.(null, encoded as unknown as O);
  }

  protected override leave(): void {
    this.#releaseRequest?.();
    this.#releaseRequest = undefined;
    super.leave();
  }
}
