import { type ServerDuplexStream, status } from "@grpc/grpc-js";
import { type StreamChecksRequest, TokenBlacklist } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import type { ServiceError } from "../errors.ts";
import { MAX_CHECK_STREAMS, MAX_STREAM_QUESTIONS, SMALL_ANSWER_BYTES } from "../limits.ts";
import { methodDefinition } from "../protobuf/service-definition.ts";
import { authenticatedMethod } from "./authenticated-service.ts";
import { TOKEN_BLACKLIST_RULES } from "./methods.ts";
import { StreamCall, type StreamMethod, type StreamSetup } from "./stream-call.ts";
import { StreamRegistry, type StreamSlot } from "./stream-registry.ts";
import { type QuestionMethod, StreamedCheck } from "./streamed-check.ts";

/** The streams of `StreamChecks`. `handler` answers their questions. */
export function openCheckStreams(
  handler: QuestionMethod["handler"],
  { environment, disconnect, ...limits }: StreamSetup,
): StreamRegistry<StreamChecksRequest, CheckCall> {
  const { streamChecks, isBlacklisted } = TokenBlacklist.method;
  const method = {
    ...authenticatedMethod(streamChecks, TOKEN_BLACKLIST_RULES.streamChecks, environment),
    disconnect,
  };
  // Questions are logged and counted under the name of IsBlacklisted. The label grpc_type of their metrics is that of StreamChecks.
  const { path } = methodDefinition(isBlacklisted);
  const count = environment.metrics.calls.of({ ...methodDefinition(streamChecks), path });
  const rules = TOKEN_BLACKLIST_RULES.isBlacklisted;
  const questionMethod = { ...authenticatedMethod(isBlacklisted, rules, environment, count), handler };
  return new StreamRegistry({
    maxOpen: MAX_CHECK_STREAMS,
    ...limits,
    method,
    createStream: (call, slot) => new CheckCall(call, { method, questionMethod, slot }),
  });
}

interface Options {
  readonly method: StreamMethod;
  readonly questionMethod: QuestionMethod;
  readonly slot: StreamSlot;
}

/** One stream of `StreamChecks`. Each question is admitted, answered and counted like a call of `IsBlacklisted`. */
class CheckCall extends StreamCall<StreamChecksRequest> {
  readonly #questionMethod: QuestionMethod;
  /** The questions that are not answered, or whose answers the connection has not taken yet. */
  readonly #openQuestions = new Set<StreamedCheck>();
  /** The total size of the answers that the connection has not taken yet. */
  #unsentBytes = 0;
  #isHalfClosed = false;
  /** Set when the replica drains: the stream ends with this error once its open questions are answered. */
  #drainError: ServiceError | undefined;

  constructor(
    call: ServerDuplexStream<StreamChecksRequest, Buffer>,
    { method, questionMethod, slot }: Options,
  ) {
    super(call, method, slot);
    this.#questionMethod = questionMethod;
  }

  drain(error: ServiceError): void {
    this.#drainError = error;
    this.#endIfDone();
  }

  protected override receive(request: StreamChecksRequest): void {
    // The question is not answered: the error at the end of the stream makes the client ask another replica.
    if (this.#drainError !== undefined) return;
    const question = new StreamedCheck(request, this.#questionMethod, this);
    this.#openQuestions.add(question);
    // Stop reading, so that further questions wait in the connection and HTTP/2 flow control stops the client.
    if (this.#openQuestions.size >= MAX_STREAM_QUESTIONS) this.pause();
    question.run(request);
  }

  protected override halfClosed(): void {
    this.#isHalfClosed = true;
    this.#endIfDone();
  }

  protected override release(): void {
    super.release();
    for (const question of this.#openQuestions) question.end(status.CANCELLED);
  }

  /** Sends the encoded answer to a question. No effect if the stream has ended. */
  answer(question: StreamedCheck, answer: Buffer): void {
    if (this.isGone || this.isPastDeadline) return;
    this.#unsentBytes += answer.length;
    // The answers are charged to the connection only while the unsent answers of this stream exceed SMALL_ANSWER_BYTES in total.
    const isCounted = this.#unsentBytes > SMALL_ANSWER_BYTES;
    const release = isCounted ? this.method.admission.bufferAnswer(this.peer, answer.length) : undefined;
    this.send(answer, () => {
      this.#unsentBytes -= answer.length;
      release?.();
      this.#openQuestions.delete(question);
      if (this.#openQuestions.size === MAX_STREAM_QUESTIONS - 1) this.resume();
      this.#endIfDone();
    });
  }

  #endIfDone(): void {
    if (this.#openQuestions.size > 0) return;
    if (this.#drainError !== undefined) this.fail(this.#drainError);
    else if (this.#isHalfClosed) this.finish();
  }
}
