import { type ServerDuplexStream, status } from "@grpc/grpc-js";
import { type StreamChecksRequest, TokenBlacklist } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import type { ServiceError } from "../errors.ts";
import { MAX_CHECK_STREAMS, MAX_STREAM_QUESTIONS, SMALL_ANSWER_BYTES } from "../limits.ts";
import { methodDefinition } from "../protobuf/service-definition.ts";
import { authenticatedMethod } from "./authenticated-service.ts";
import { TOKEN_BLACKLIST } from "./methods.ts";
import { StreamCall, type StreamMethod, type StreamSetup } from "./stream-call.ts";
import { type StreamPlace, StreamRegistry } from "./stream-registry.ts";
import { type QuestionMethod, StreamedCheck } from "./streamed-check.ts";

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
  /** The questions whose answers the connection has not taken yet. */
  readonly #open = new Set<StreamedCheck>();
  /** The total size of the answers that the connection has not taken yet. */
  #unsentBytes = 0;
  #isHalfClosed = false;
  /** The error with which the stream ends once its open questions are answered. Set when the replica drains. */
  #draining: ServiceError | undefined;

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

  protected override receive(request: StreamChecksRequest): void {
    // The question is not answered: the error at the end of the stream makes the client ask another replica.
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
    for (const question of this.#open) question.end(status.CANCELLED);
  }

  /** Sends the encoded answer to a question. No effect if the stream has ended. */
  answer(question: StreamedCheck, answer: Buffer): void {
    if (this.isGone || this.isLate) return;
    this.#unsentBytes += answer.length;
    // While the unread answers of one stream are small together, they do not count as unread on its connection.
    const isCounted = this.#unsentBytes > SMALL_ANSWER_BYTES;
    const release = isCounted ? this.method.admission.bufferAnswer(this.peer, answer.length) : undefined;
    this.send(answer, () => {
      this.#unsentBytes -= answer.length;
      release?.();
      this.#open.delete(question);
      if (this.#open.size === MAX_STREAM_QUESTIONS - 1) this.resume();
      this.#endIfDone();
    });
  }

  #endIfDone(): void {
    if (this.#open.size > 0) return;
    if (this.#draining !== undefined) this.fail(this.#draining);
    else if (this.#isHalfClosed) this.finish();
  }
}
