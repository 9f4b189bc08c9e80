import type { PeerCertificate } from "node:tls";
import { Metadata, type ServerDuplexStream, status } from "@grpc/grpc-js";
import type { Credentials } from "../auth/authenticator.ts";
import type { KnownCaller } from "../caller.ts";
import { refused } from "../calls.ts";
import { invalidRequest, type ServiceError } from "../errors.ts";
import { STREAM_END_MS } from "../limits.ts";
import type { MethodCalls } from "../metrics/call-metrics.ts";
import { NOBODY, type Principal } from "../principal.ts";
import type { CallSpans } from "../tracing/call-spans.ts";
import { endCall, type MethodSpans } from "../tracing/method-spans.ts";
import { authorize } from "./authorize.ts";
import { logCall } from "./call-log.ts";
import { CALLER } from "./incoming-call.ts";
import { MALFORMED } from "./service-definition.ts";
import { codeOf, presentable, statusOf } from "./status.ts";
import type { CallEnvironment } from "./unary.ts";

/** What all streams of a method have in common. */
export interface StreamEnvironment extends CallEnvironment {
  /** The method's name. */
  readonly method: string;
  /** Where its streams are counted. */
  readonly count: MethodCalls;
  /** What makes spans of them; absent where nobody takes any. */
  readonly spans: MethodSpans | undefined;
  /** Ends the connection of a peer. */
  readonly cut: (peer: string) => void;
}

interface Options<I> extends StreamEnvironment {
  /** Streams that went well are logged at the level debug. */
  readonly quiet: boolean;
  /** What is to happen with each message. What it throws ends the stream. */
  readonly receive: (message: I) => void | Promise<void>;
  /** The client says that it is done. */
  readonly onDone: () => void;
  /** It is over: nothing may be sent any more. */
  readonly onEnded: () => void;
  /** Called once it is known who opened it. What it throws ends the stream. */
  readonly onKnown: (principal: Principal) => void;
  /** Called when nothing of it is left. */
  readonly onClosed: () => void;
}

/**
 * What happens around a stream of messages in both directions: admission, authentication, the mapping of errors, the log line, one
 * end. Its callers need the role `check`.
 */
export class StreamCall<I extends object> implements KnownCaller, Credentials {
  readonly #call: ServerDuplexStream<I, Buffer>;
  readonly #options: Options<I>;
  readonly #began: number;
  /** As of which version of {@link CallerValidity} its caller was judged. */
  #judgedAt = 0;
  #cancelCut = () => {};
  /** What is to be called for each message that the connection has not taken. */
  readonly #unsent = new Set<() => void>();
  /** It is not known any more when the stream is over. */
  readonly peer: string;
  principal: Principal = NOBODY;
  gone = false;
  readonly trace: CallSpans | undefined;

  constructor(call: ServerDuplexStream<I, Buffer>, options: Options<I>) {
    this.#call = call;
    this.#options = options;
    this.#began = options.clock.monotonic();
    this.peer = call.getPeer();
    // Said of every stream at its very end, however it came.
    call.once("cancelled", () => this.#closed());
    options.count.begin();
    this.trace = options.spans?.begin(call.metadata);
  }

  /** Lets the client in, and takes its messages from then on. `onOpened` is called before the first. */
  run(onOpened: () => void): void {
    const { calls, receive, onDone } = this.#options;
    const refusal = calls.enter(() => this.peer);
    // It is counted as a stream that is kept, not as a call that is being answered.
    if (refusal === undefined) calls.leave();
    this.attempt(async () => {
      if (refusal !== undefined) throw refused(refusal);
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
        // A stream that was cancelled ends too. grpc-js says that it was, in this turn, once it looks whether it is still there.
        this.#call.sendMetadata(new Metadata());
        setImmediate(onDone);
      });
    });
  }

  /** Who it is, as of now. Throws, or rejects with, why that is not known. */
  authenticate(): Principal | Promise<Principal> {
    return this.#options.authenticate(this);
  }

  /**
   * Throws, or rejects with, why its caller would not be let in any more, if keys, roles or authorities have changed since it was. That its token has expired is no
   * reason.
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

  /** Whether what was said of its caller still holds. */
  get isCurrent(): boolean {
    return this.#options.callers.holds(this.principal, this.#judgedAt);
  }

  get authorization(): readonly unknown[] {
    return this.#call.metadata.get("authorization");
  }

  certificate(): PeerCertificate | undefined {
    return this.#call.getAuthContext().sslPeerCertificate;
  }

  /** Runs `work`, unless the stream is over; what it throws, or rejects with, ends the stream. */
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
   * `onSent`, a function of this message's own, is called once: when the client's connection has taken the message, or when nothing
   * of the stream is left.
   */
  send(message: Buffer, onSent: () => void): void {
    this.#unsent.add(onSent);
    // grpc-js does not call back for a write that fails, as all do that a cancelled stream leaves behind.
    this.#call.write(message, () => {
      if (this.#unsent.delete(onSent)) onSent();
    });
  }

  /** No more messages for now; those that have arrived stay with the connection. */
  pause(): void {
    this.#call.pause();
  }

  resume(): void {
    this.#call.resume();
  }

  /** Ends the stream with an error. What has been handed to the connection still goes out before it. */
  fail(error: unknown): void {
    const failure = presentable(error);
    if (this.#end(codeOf(failure), failure)) this.#call.emit("error", statusOf(failure));
  }

  /** Ends the stream well. */
  finish(): void {
    if (this.#end(this.isLate ? status.DEADLINE_EXCEEDED : status.OK)) this.#call.end();
  }

  /** Whether the deadline that the client has set is over: grpc-js ends the stream then. */
  get isLate(): boolean {
    return Number(this.#call.getDeadline()) <= Date.now();
  }

  #readable(message: I): I {
    if ((message as unknown) !== MALFORMED) return message;
    throw invalidRequest([
      { field: "", description: `the message is not a well-formed ${this.#options.method}Request` },
    ]);
  }

  /** Nothing of it is left: the client has taken the end, or has gone without one. */
  #closed(): void {
    this.#end(this.isLate ? status.DEADLINE_EXCEEDED : status.CANCELLED);
    this.#cancelCut();
    for (const onSent of this.#unsent) onSent();
    this.#unsent.clear();
    this.#options.onClosed();
  }

  /** Claims the stream's one end. False for whoever comes later. */
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
