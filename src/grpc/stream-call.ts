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
import type { RegisteredStream, StreamLimits, StreamPlace } from "./stream-registry.ts";
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
  readonly #place: StreamPlace;
  #cancelTick: (() => void) | undefined;
  #cancelDisconnect: (() => void) | undefined;
  /** The `onSent` functions of the messages that the connection has not taken yet. */
  readonly #unsent = new Set<() => void>();
  /** When the connection last took a message, or had none to take, by the monotonic clock. */
  #takenAt = 0;
  /** Captured early, since it is unavailable once the stream has ended. */
  readonly peer: string;

  constructor(call: ServerDuplexStream<I, Buffer>, method: StreamMethod, place: StreamPlace) {
    super(method, method.spans?.begin(call.metadata));
    this.#call = call;
    this.#place = place;
    this.peer = call.getPeer();
    // grpc-js emits this at the end of every stream, however it ended.
    call.once("cancelled", () => this.#closed());
  }

  /** Called every {@link STREAM_TICK_MS} while the stream is open. An error that it throws ends the stream. */
  protected tick(): void {}

  /** Handles one message. An error that it throws ends the stream. */
  protected abstract receive(message: I): void | Promise<void>;

  /** The client has half-closed the stream: it sends no more messages. */
  protected abstract halfClosed(): void;

  abstract drain(error: ServiceError): void;

  run(): void {
    const { admission } = this.method;
    const refusal = admission.enter(this);
    if (refusal !== undefined) {
      this.fail(admissionError(refusal));
      return;
    }
    // An open stream is no call in flight: the registry bounds it.
    admission.leave();
    this.authenticateAndProceed();
  }

  protected override proceed(): void {
    this.#tick();
    this.#call.on("data", (message: I) => this.attempt(() => this.receive(this.#wellFormed(message))));
    this.#call.once("end", () => {
      // A cancelled stream ends too. Sending metadata makes grpc-js notice the cancellation in this turn of the event loop.
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
    this.#place.take(caller);
  }

  /** Runs `work`, unless the stream has ended. An error that it throws or rejects with ends the stream. */
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
   * Sends a message. `onSent` must be a separate function for each message, and is called once: when the client's connection has taken the
   * message, or when the stream has ended completely.
   */
  protected send(message: Buffer, onSent: () => void): void {
    const { clock } = this.method;
    if (!this.isSending) this.#takenAt = clock.monotonic();
    this.#unsent.add(onSent);
    // grpc-js does not call back for a failed write, such as any write that a cancelled stream leaves behind.
    this.#call.write(message, () => {
      if (!this.#unsent.delete(onSent)) return;
      this.#takenAt = clock.monotonic();
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
        if (this.isSending && clock.monotonic() - this.#takenAt >= MAX_STREAM_STALL_MS) {
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

  /** Ends the stream with an error. Messages already handed to the connection are still sent first. */
  fail(error: unknown): void {
    const failure = presentable(error);
    if (this.end(codeOf(failure), failure)) this.#call.emit("error", statusOf(failure));
  }

  /** Ends the stream successfully. */
  protected finish(): void {
    if (this.end(this.isLate ? status.DEADLINE_EXCEEDED : status.OK)) this.#call.end();
  }

  /** Whether the client's deadline has passed, at which grpc-js ends the stream. */
  protected get isLate(): boolean {
    return Number(this.#call.getDeadline()) <= Date.now();
  }

  #wellFormed(message: I): I {
    if ((message as unknown) === MALFORMED) throw malformedRequest(this.method.input);
    return message;
  }

  /** Destroys the connection after a delay, since a client that does not read the end would keep the stream open as long as its connection. */
  protected override release(): void {
    const { clock, disconnect } = this.method;
    this.#cancelTick?.();
    this.#cancelDisconnect = clock.schedule(STREAM_END_MS, () => disconnect(this.peer));
  }

  /** The stream has ended completely: the client has received the end, or has disconnected. */
  #closed(): void {
    this.end(this.isLate ? status.DEADLINE_EXCEEDED : status.CANCELLED);
    this.#cancelDisconnect?.();
    for (const onSent of this.#unsent) onSent();
    this.#unsent.clear();
    this.#place.release();
  }
}
