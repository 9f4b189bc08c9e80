import type { PeerCertificate } from "node:tls";
import { Metadata, type ServerDuplexStream, status } from "@grpc/grpc-js";
import { admissionError } from "../admission/admission.ts";
import type { Credentials } from "../auth/authenticator.ts";
import type { KnownCaller } from "../caller.ts";
import { invalidRequest, type ServiceError } from "../errors.ts";
import { STREAM_END_MS } from "../limits.ts";
import type { MethodCalls } from "../metrics/call-metrics.ts";
import { type Principal, UNAUTHENTICATED_PRINCIPAL } from "../principal.ts";
import { MALFORMED } from "../protobuf/service-definition.ts";
import type { CallSpans } from "../tracing/call-spans.ts";
import { endCall, type MethodSpans } from "../tracing/method-spans.ts";
import { authorize } from "./authorize.ts";
import { logCall } from "./call-log.ts";
import { CALLER } from "./incoming-call.ts";
import { codeOf, presentable, statusOf } from "./status.ts";
import type { CallEnvironment } from "./unary.ts";

/** The environment shared by all streams of a method. */
export interface StreamEnvironment extends CallEnvironment {
  /** The method's name. */
  readonly method: string;
  /** Counts the method's streams. */
  readonly count: MethodCalls;
  /** Creates spans; absent if tracing is off. */
  readonly spans: MethodSpans | undefined;
  /** Destroys the connection of a peer. */
  readonly cut: (peer: string) => void;
}

interface Options<I> extends StreamEnvironment {
  /** Successful streams are logged at level debug. */
  readonly quiet: boolean;
  /** Handles one message. An error that it throws ends the stream. */
  readonly receive: (message: I) => void | Promise<void>;
  /** The client has half-closed the stream. */
  readonly onDone: () => void;
  /** The stream has ended: no more messages may be sent. */
  readonly onEnded: () => void;
  /** Called once the caller is authenticated. An error that it throws ends the stream. */
  readonly onKnown: (principal: Principal) => void;
  /** Called when the stream has ended completely. */
  readonly onClosed: () => void;
}

/**
 * The life of a bidirectional stream: admission, authentication, error mapping, the log line, and a single end. Callers need the role
 * `check`.
 */
export class StreamCall<I extends object> implements KnownCaller, Credentials {
  readonly #call: ServerDuplexStream<I, Buffer>;
  readonly #options: Options<I>;
  readonly #began: number;
  /** The version of {@link CallerValidity} at which the caller was judged. */
  #judgedAt = 0;
  #cancelCut = () => {};
  /** The callbacks of messages that the connection has not taken yet. */
  readonly #unsent = new Set<() => void>();
  /** Captured early, since it is unavailable once the stream has ended. */
  readonly peer: string;
  principal: Principal = UNAUTHENTICATED_PRINCIPAL;
  gone = false;
  readonly trace: CallSpans | undefined;

  constructor(call: ServerDuplexStream<I, Buffer>, options: Options<I>) {
    this.#call = call;
    this.#options = options;
    this.#began = options.clock.monotonic();
    this.peer = call.getPeer();
    // grpc-js emits this at the end of every stream, however it ended.
    call.once("cancelled", () => this.#closed());
    options.count.begin();
    this.trace = options.spans?.begin(call.metadata);
  }

  /** Authenticates the caller, then receives messages. `onOpened` is called before the first one. */
  run(onOpened: () => void): void {
    const { calls, receive, onDone } = this.#options;
    const refusal = calls.enter(() => this.peer);
    // An open stream counts as such, not as a call in flight.
    if (refusal === undefined) calls.leave();
    this.attempt(async () => {
      if (refusal !== undefined) throw admissionError(refusal);
      this.#judgedAt = this.#options.callers.version;
      this.principal = await this.authenticate();
      this.#options.connections.authenticated(() => this.peer, this.principal.name);
      authorize(this.principal, "check");
      if (this.gone) return;
      (this.#call.metadata as { [CALLER]?: string })[CALLER] = this.principal.name;
      this.#options.onKnown(this.principal);
      onOpened();
      this.#call.on("data", (message: I) => this.attempt(() => receive(this.#readable(message))));
      this.#call.once("end", () => {
        // A cancelled stream ends too. Sending metadata makes grpc-js notice the cancellation in this turn of the event loop.
        this.#call.sendMetadata(new Metadata());
        setImmediate(onDone);
      });
    });
  }

  /** Authenticates the caller again. Throws, or rejects with, the reason for a refusal. */
  authenticate(): Principal | Promise<Principal> {
    return this.#options.authenticate(this);
  }

  /**
   * Throws, or rejects with, the reason why the caller would no longer be admitted, if keys, roles or authorities have changed since it was
   * judged. The expiry of its token does not end a running stream.
   */
  async judgeAgain(): Promise<void> {
    const { authenticate, callers } = this.#options;
    if (this.#judgedAt === callers.version) return;
    this.#judgedAt = callers.version;
    const { authorization } = this;
    this.principal = await authenticate({
      authorization,
      certificate: () => this.certificate(),
      isRunning: true,
    });
    authorize(this.principal, "check");
  }

  /** Whether the last judgement of the caller still holds. */
  get isCurrent(): boolean {
    return this.#options.callers.holds(this.principal, this.#judgedAt);
  }

  get authorization(): readonly unknown[] {
    return this.#call.metadata.get("authorization");
  }

  certificate(): PeerCertificate | undefined {
    return this.#call.getAuthContext().sslPeerCertificate;
  }

  /** Runs `work`, unless the stream has ended. An error that it throws or rejects with ends the stream. */
  attempt(work: () => void | Promise<void>): void {
    if (this.gone) return;
    try {
      const working = work();
      if (working instanceof Promise) working.catch((error: unknown) => this.fail(error));
    } catch (error) {
      this.fail(error);
    }
  }

  /**
   * Sends a message. `onSent` must be a separate function for each message, and is called once: when the client's connection has taken the
   * message, or when the stream has ended completely.
   */
  send(message: Buffer, onSent: () => void): void {
    this.#unsent.add(onSent);
    // grpc-js does not call back for a failed write, such as any write that a cancelled stream leaves behind.
    this.#call.write(message, () => {
      if (this.#unsent.delete(onSent)) onSent();
    });
  }

  /** Stops reading messages for now. Those that have arrived stay with the connection. */
  pause(): void {
    this.#call.pause();
  }

  resume(): void {
    this.#call.resume();
  }

  /** Ends the stream with an error. Messages already handed to the connection are still sent first. */
  fail(error: unknown): void {
    const failure = presentable(error);
    if (this.#end(codeOf(failure), failure)) this.#call.emit("error", statusOf(failure));
  }

  /** Ends the stream successfully. */
  finish(): void {
    if (this.#end(this.isLate ? status.DEADLINE_EXCEEDED : status.OK)) this.#call.end();
  }

  /** Whether the client's deadline has passed, at which grpc-js ends the stream. */
  get isLate(): boolean {
    return Number(this.#call.getDeadline()) <= Date.now();
  }

  #readable(message: I): I {
    if ((message as unknown) !== MALFORMED) return message;
    throw invalidRequest([
      { field: "", description: `the message is not a well-formed ${this.#options.method}Request` },
    ]);
  }

  /** The stream has ended completely: the client has received the end, or is gone. */
  #closed(): void {
    this.#end(this.isLate ? status.DEADLINE_EXCEEDED : status.CANCELLED);
    this.#cancelCut();
    for (const onSent of this.#unsent) onSent();
    this.#unsent.clear();
    this.#options.onClosed();
  }

  /** Claims the right to end the stream, once; false if it has ended already. */
  #end(code: status, failure?: ServiceError): boolean {
    if (this.gone) return false;
    this.gone = true;
    const { clock, count, cut, log, method, onEnded, quiet, sampling } = this.#options;
    onEnded();
    this.#cancelCut = clock.schedule(STREAM_END_MS, () => cut(this.peer));
    const milliseconds = clock.monotonic() - this.#began;
    count.end(code, milliseconds / 1000);
    if (this.trace !== undefined) {
      endCall(this.trace, { code: status[code], reason: failure?.reason, peer: this.peer });
    }
    const caller = this.principal.name;
    logCall(log, { method, code, failure, milliseconds, caller, peer: () => this.peer }, { quiet, sampling });
    return true;
  }
}
