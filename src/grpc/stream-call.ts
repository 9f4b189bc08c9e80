import type { PeerCertificate } from "node:tls";
import { Metadata, type ServerDuplexStream, status } from "@grpc/grpc-js";
import { admissionError } from "../admission/admission.ts";
import { ServiceError } from "../errors.ts";
import { MAX_STREAM_STALL_MS, STREAM_END_MS, WATCH_HEARTBEAT_MS } from "../limits.ts";
import { MALFORMED } from "../protobuf/service-definition.ts";
import { AuthenticatedCall, type AuthenticatedMethod } from "./authenticated-call.ts";
import type { CallEnvironment } from "./authenticated-service.ts";
import { CALLER } from "./incoming-call.ts";
import { codeOf, presentable, statusOf } from "./status.ts";
import type { RegisteredStream, StreamLimits, StreamSlot } from "./stream-registry.ts";
import { malformedRequest } from "./violations.ts";

/** Interval at which a stream is checked for reasons to end it, and a heartbeat may be sent. */
export const STREAM_TICK_MS = WATCH_HEARTBEAT_MS;

/** A method with bidirectional streams. */
export interface StreamMethod extends AuthenticatedMethod {
  /** Destroys the connection of a peer. */
  readonly disconnect: (peer: string) => void;
}

/** The dependencies and limits of the streams of a method. */
export interface StreamSetup extends StreamLimits, Pick<StreamMethod, "disconnect"> {
  readonly environment: CallEnvironment;
}

/** A call with a stream of messages in each direction. */
export abstract class StreamCall<I extends object>
  extends AuthenticatedCall<StreamMethod>
  implements RegisteredStream
{
  readonly #call: ServerDuplexStream<I, Buffer>;
  readonly #slot: StreamSlot;
  #cancelTick: (() => void) | undefined;
  #cancelDisconnect: (() => void) | undefined;
  /** The `onSent` functions of the messages that the connection has not taken yet. */
  readonly #unsent = new Set<() => void>();
  /** By the monotonic clock: when the connection last took a message or, if none was waiting, when the next message was written. */
  #lastProgressAt = 0;
  /** Captured early, since grpc-js no longer knows the peer once the stream has ended. */
  readonly peer: string;

  constructor(call: ServerDuplexStream<I, Buffer>, method: StreamMethod, slot: StreamSlot) {
    super(method, method.spans?.begin(call.metadata));
    this.#call = call;
    this.#slot = slot;
    this.peer = call.getPeer();
    // grpc-js emits this at the end of every stream, however it ended.
    call.once("cancelled", () => this.#closed());
  }

  /** Called every {@link STREAM_TICK_MS} while the stream is open. If this throws an error, the stream ends with the error. */
  protected tick(): void {}

  /** Handles one message. If this throws an error, or rejects with one, the stream ends with the error. */
  protected abstract receive(message: I): void | Promise<void>;

  /** Called when the client has half-closed the stream, and so sends no more messages. */
  protected abstract halfClosed(): void;

  abstract drain(error: ServiceError): void;

  run(): void {
    const { admission } = this.method;
    const refusal = admission.enter(this);
    if (refusal !== undefined) {
      this.fail(admissionError(refusal));
      return;
    }
    // Open streams do not count as calls in flight: the registry bounds their number.
    admission.leave();
    this.authenticateAndProceed();
  }

  protected override proceed(): void {
    this.#tick();
    this.#call.on("data", (message: I) => this.attempt(() => this.receive(this.#wellFormed(message))));
    this.#call.once("end", () => {
      // The stream also ends if it is cancelled. Sending metadata makes grpc-js notice the cancellation in this turn of the event loop, so that
      // halfClosed has no effect then.
      this.#call.sendMetadata(new Metadata());
      setImmediate(() => this.halfClosed());
    });
  }

  get authorization(): readonly unknown[] {
    return this.#call.metadata.get("authorization");
  }

  certificate(): PeerCertificate | undefined {
    return this.#call.getAuthContext().sslPeerCertificate;
  }

  protected override attributeTo(caller: string): void {
    // From now on, the transport attributes the memory of incomplete messages to the caller.
    (this.#call.metadata as { [CALLER]?: string })[CALLER] = caller;
    this.#slot.take(caller);
  }

  /** Runs `work`, unless the stream has ended. If `work` throws an error, or rejects with one, the stream ends with the error. */
  protected attempt(work: () => void | Promise<void>): void {
    if (this.isGone) return;
    try {
      const working = work();
      if (working instanceof Promise) working.catch((error: unknown) => this.fail(error));
    } catch (error) {
      this.fail(error);
    }
  }

  /**
   * Sends a message. `onSent` is called once: when the client's connection has taken the message, or when the stream has ended completely. It
   * must be a different function for each message.
   */
  protected send(message: Buffer, onSent: () => void): void {
    const { clock } = this.method;
    if (!this.isSending) this.#lastProgressAt = clock.monotonic();
    this.#unsent.add(onSent);
    // grpc-js does not call back for failed writes, such as those that are pending when a stream is cancelled.
    this.#call.write(message, () => {
      if (!this.#unsent.delete(onSent)) return;
      this.#lastProgressAt = clock.monotonic();
      onSent();
    });
  }

  /** Whether the connection has not taken all messages yet. */
  protected get isSending(): boolean {
    return this.#unsent.size > 0;
  }

  #tick(): void {
    const { clock } = this.method;
    this.#cancelTick = clock.schedule(STREAM_TICK_MS, () =>
      this.attempt(() => {
        if (this.isSending && clock.monotonic() - this.#lastProgressAt >= MAX_STREAM_STALL_MS) {
          throw new ServiceError("OVERLOADED", "the client reads none of the stream's messages");
        }
        this.tick();
        this.#tick();
      }),
    );
  }

  /** Stops reading messages until {@link resume}. Messages that arrive in the meantime stay in grpc-js and in the connection. */
  protected pause(): void {
    this.#call.pause();
  }

  protected resume(): void {
    this.#call.resume();
  }

  /** Ends the stream with an error, after the messages that have been written. No effect if the stream has ended. */
  fail(error: unknown): void {
    const failure = presentable(error);
    if (this.end(codeOf(failure), failure)) this.#call.emit("error", statusOf(failure));
  }

  /** Ends the stream successfully, unless its deadline has passed. No effect if the stream has ended. */
  protected finish(): void {
    if (this.end(this.isPastDeadline ? status.DEADLINE_EXCEEDED : status.OK)) this.#call.end();
  }

  /** Whether the client's deadline has passed. At the deadline, grpc-js ends the stream by itself. */
  protected get isPastDeadline(): boolean {
    return Number(this.#call.getDeadline()) <= Date.now();
  }

  #wellFormed(message: I): I {
    if ((message as unknown) === MALFORMED) throw malformedRequest(this.method.input);
    return message;
  }

  /** Destroys the connection after a delay, unless the client has read the end of the stream by then: the stream would otherwise stay open. */
  protected override release(): void {
    const { clock, disconnect } = this.method;
    this.#cancelTick?.();
    this.#cancelDisconnect = clock.schedule(STREAM_END_MS, () => disconnect(this.peer));
  }

  /** Called when the stream has ended completely: its end has been sent, or the client has cancelled it or disconnected. */
  #closed(): void {
    this.end(this.isPastDeadline ? status.DEADLINE_EXCEEDED : status.CANCELLED);
    this.#cancelDisconnect?.();
    for (const onSent of this.#unsent) onSent();
    this.#unsent.clear();
    this.#slot.release();
  }
}
