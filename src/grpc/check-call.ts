import { type ServerDuplexStream, status } from "@grpc/grpc-js";
import { type StreamChecksRequest, TokenBlacklist } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { ServiceError } from "../errors.ts";
import {
  MAX_CHECK_STREAMS,
  MAX_STREAM_QUESTIONS,
  MAX_STREAM_STALL_MS,
  SMALL_ANSWER_BYTES,
} from "../limits.ts";
import { methodDefinition } from "../protobuf/service-definition.ts";
import { authenticatedMethod } from "./authenticated-service.ts";
import { TOKEN_BLACKLIST } from "./methods.ts";
import { StreamCall, type StreamMethod, type StreamSetup } from "./stream-call.ts";
import { type StreamPlace, StreamRegistry } from "./stream-registry.ts";
import { type QuestionMethod, StreamedCheck } from "./streamed-check.ts";

/** Interval at which a stream is checked for reasons to end it. */
export const STREAM_TICK_MS = 5000;

/** The streams of `StreamChecks`. `handler` answers their questions. */
export function openCheckStreams(
  handler: QuestionMethod["handler"],
  { environment, disconnect, ...limits }: StreamSetup,
): StreamRegistry<StreamChecksRequest, CheckCall> {
  const { streamChecks, isBlacklisted } = TokenBlacklist.method;
  const method = {
    ...authenticatedMethod(streamChecks, TOKEN_BLACKLIST.streamChecks, environment),
    disconnect,
  };
  // Questions are logged and counted as calls of IsBlacklisted, so that its metrics cover them too, with the streaming type of this method.
  const { path } = methodDefinition(isBlacklisted);
  const count = environment.metrics.calls.of({ ...methodDefinition(streamChecks), path });
  const rules = TOKEN_BLACKLIST.isBlacklisted;
  const questionMethod = { ...authenticatedMethod(isBlacklisted, rules, environment, count), handler };
  return new StreamRegistry({
    maxOpen: MAX_CHECK_STREAMS,
    ...limits,
    method,
    open: (call, place) => new CheckCall(call, { method, questionMethod, place }),
  });
}

interface Options {
  readonly method: StreamMethod;
  readonly questionMethod: QuestionMethod;
  readonly place: StreamPlace;
}

/** One stream of `StreamChecks`. Each question is admitted, answered and counted like a call of `IsBlacklisted`. */
class CheckCall extends StreamCall<StreamChecksRequest> {
  readonly #questionMethod: QuestionMethod;
  /** The questions whose answers the client's connection has not taken yet. */
  readonly #open = new Set<StreamedCheck>();
  /** The number of answers that the connection has not taken yet, and their total size. */
  #unsent = 0;
  #unsentBytes = 0;
  /** When the connection last took an answer, or had no answer to take, by the monotonic clock. */
  #takenAt = 0;
  #isHalfClosed = false;
  /** The error with which the stream ends once its open questions are answered. Set when the replica drains. */
  #draining: ServiceError | undefined;
  #cancelTick: (() => void) | undefined;

  constructor(
    call: ServerDuplexStream<StreamChecksRequest, Buffer>,
    { method, questionMethod, place }: Options,
  ) {
    super(call, method, place);
    this.#questionMethod = questionMethod;
  }

  drain(error: ServiceError): void {
    this.#draining = error;
    this.#endIfDone();
  }

  protected override opened(): void {
    this.#tick();
  }

  protected override receive(request: StreamChecksRequest): void {
    // Not answered: the error at the end of the stream makes the client ask another replica.
    if (this.#draining !== undefined) return;
    const question = new StreamedCheck(request, this.#questionMethod, this);
    this.#open.add(question);
    // Stop reading, so that further questions wait in the connection and HTTP/2 flow control stops the client.
    if (this.#open.size >= MAX_STREAM_QUESTIONS) this.pause();
    question.run(request);
  }

  protected override halfClosed(): void {
    this.#isHalfClosed = true;
    this.#endIfDone();
  }

  protected override release(): void {
    super.release();
    this.#cancelTick?.();
    for (const question of this.#open) question.end(status.CANCELLED);
  }

  /** Sends the encoded answer to a question. No effect if the stream has ended. */
  answer(question: StreamedCheck, answer: Buffer): void {
    if (this.isGone || this.isLate) return;
    if (this.#unsent++ === 0) this.#takenAt = this.method.clock.monotonic();
    const release = this.#hold(answer.length);
    this.send(answer, () => {
      this.#unsent--;
      release();
      this.#takenAt = this.method.clock.monotonic();
      this.#open.delete(question);
      if (this.#open.size === MAX_STREAM_QUESTIONS - 1) this.resume();
      this.#endIfDone();
    });
  }

  /**
   * Counts an answer as unread on its connection once all unread answers of the stream together are large. Call the returned function when
   * the answer has been sent.
   */
  #hold(bytes: number): () => void {
    this.#unsentBytes += bytes;
    const isLarge = this.#unsentBytes > SMALL_ANSWER_BYTES;
    const release = isLarge ? this.method.admission.bufferAnswer(this.peer, bytes) : undefined;
    return () => {
      this.#unsentBytes -= bytes;
      release?.();
    };
  }

  #endIfDone(): void {
    if (this.#open.size > 0) return;
    if (this.#draining !== undefined) this.fail(this.#draining);
    else if (this.#isHalfClosed) this.finish();
  }

  /** Checks periodically whether the client reads its answers, and otherwise ends the stream. */
  #tick(): void {
    const { clock } = this.method;
    this.#cancelTick = clock.schedule(STREAM_TICK_MS, () => {
      this.attempt(() => {
        if (this.#unsent > 0 && clock.monotonic() - this.#takenAt >= MAX_STREAM_STALL_MS) {
          throw new ServiceError("OVERLOADED", "the client reads none of the stream's messages");
        }
        this.#tick();
      });
    });
  }
}
