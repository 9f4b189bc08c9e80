import { type ServerDuplexStream, status } from "@grpc/grpc-js";
import type { StreamChecksRequest } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { ServiceError } from "../errors.ts";
import { MAX_STREAM_QUESTIONS, MAX_STREAM_STALL_MS, SMALL_ANSWER_BYTES, STREAM_TICK_MS } from "../limits.ts";
import { StreamCall, type StreamEnvironment } from "./stream-call.ts";
import type { RegisteredStream, StreamEvents } from "./stream-registry.ts";
import { StreamedCheck, type StreamedCheckEnvironment } from "./streamed-check.ts";

interface Options
  extends StreamEnvironment,
    StreamEvents,
    Pick<StreamedCheckEnvironment, "handler" | "questions"> {}

/** One stream of `StreamChecks`. Each question is admitted, answered and counted like a call of `IsBlacklisted`. */
export class CheckCall implements RegisteredStream {
  readonly #stream: StreamCall<StreamChecksRequest>;
  readonly #options: Options;
  /** Questions whose answers the client's connection has not taken, with the number and total bytes of these answers. */
  readonly #open = new Set<StreamedCheck>();
  #unsent = 0;
  #unsentBytes = 0;
  /** When the connection last took an answer, or had no answer to take, by the monotonic clock. */
  #takenAt = 0;
  /** The client has half-closed the stream. */
  #isDone = false;
  /** The error with which the stream ends once its open questions are answered. Set when the replica drains. */
  #draining: ServiceError | undefined;
  #cancelTick = () => {};

  constructor(call: ServerDuplexStream<StreamChecksRequest, Buffer>, options: Options) {
    this.#options = options;
    this.#stream = new StreamCall(call, {
      ...options,
      // A client opens a stream every few seconds.
      quiet: true,
      receive: (request) => this.#receive(request),
      onDone: () => {
        this.#isDone = true;
        this.#endIfDone();
      },
      onEnded: () => {
        this.#cancelTick();
        for (const question of this.#open) question.end(status.CANCELLED);
      },
    });
  }

  run(): void {
    this.#stream.run(() => this.#tick());
  }

  fail(error: ServiceError): void {
    this.#stream.fail(error);
  }

  judgeAgain(): void {
    this.#stream.attempt(() => this.#stream.judgeAgain());
  }

  drain(error: ServiceError): void {
    this.#draining = error;
    this.#endIfDone();
  }

  #receive(request: StreamChecksRequest): void {
    // The error at the end of the stream tells the client to ask another replica.
    if (this.#draining !== undefined) return;
    const question = new StreamedCheck(request.id, {
      ...this.#options,
      peer: this.#stream.peer,
      authenticate: () => this.#stream.authenticate(),
      send: (answer) => this.#send(question, answer),
    });
    this.#open.add(question);
    // Stop reading, so that further questions wait in the connection and HTTP/2 flow control stops the client.
    if (this.#open.size >= MAX_STREAM_QUESTIONS) this.#stream.pause();
    question.run(request);
  }

  #send(question: StreamedCheck, answer: Buffer): void {
    if (this.#stream.gone || this.#stream.isLate) return;
    if (this.#unsent++ === 0) this.#takenAt = this.#options.clock.monotonic();
    const letGo = this.#hold(answer.length);
    this.#stream.send(answer, () => {
      this.#unsent--;
      letGo();
      this.#takenAt = this.#options.clock.monotonic();
      this.#open.delete(question);
      if (this.#open.size === MAX_STREAM_QUESTIONS - 1) this.#stream.resume();
      this.#endIfDone();
    });
  }

  /** Counts unread answers like a single answer of their total size. Call the returned function when `bytes` have been sent. */
  #hold(bytes: number): () => void {
    const { calls } = this.#options;
    this.#unsentBytes += bytes;
    const letGo = this.#unsentBytes > SMALL_ANSWER_BYTES ? calls.hold(this.#stream.peer, bytes) : undefined;
    return () => {
      this.#unsentBytes -= bytes;
      letGo?.();
    };
  }

  #endIfDone(): void {
    if (this.#open.size > 0) return;
    if (this.#draining !== undefined) this.#stream.fail(this.#draining);
    else if (this.#isDone) this.#stream.finish();
  }

  /** Ends the stream of a client that reads nothing. */
  #tick(): void {
    const { clock } = this.#options;
    this.#cancelTick = clock.schedule(STREAM_TICK_MS, () => {
      this.#stream.attempt(() => {
        if (this.#unsent > 0 && clock.monotonic() - this.#takenAt >= MAX_STREAM_STALL_MS) {
          throw new ServiceError("OVERLOADED", "the stream leaves everything unread");
        }
        this.#tick();
      });
    });
  }
}
