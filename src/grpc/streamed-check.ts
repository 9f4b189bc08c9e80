import type { PeerCertificate } from "node:tls";
import { create } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import {
  type IsBlacklistedRequest,
  IsBlacklistedRequestSchema,
  type QuestionMetadata,
  type StreamChecksRequest,
  StreamChecksRequestSchema,
  StreamChecksResponseSchema,
  type TokenBlacklist,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import type { Credentials } from "../auth/authenticator.ts";
import { MAX_SMALL_REQUEST_BYTES } from "../limits.ts";
import { encode, MALFORMED, type OutputOf } from "../protobuf/service-definition.ts";
import type { CallSpans } from "../tracing/call-spans.ts";
import { AnsweredCall, type AnsweredMethod } from "./answered-call.ts";
import { tooLarge } from "./incoming-call.ts";
import { questionMetadataProblem, readCheckTimeout } from "./requests.ts";
import { codeOf, encodedStatusOf, presentable } from "./status.ts";

type Answer = OutputOf<typeof TokenBlacklist, "isBlacklisted">;

/** The method `IsBlacklisted`, as it is invoked for the questions on streams. */
export type QuestionMethod = AnsweredMethod<IsBlacklistedRequest, Answer>;

/** The stream of a question. */
interface QuestionStream extends Credentials {
  readonly peer: string;
  /** Sends the encoded answer to `question`. No effect if the stream has ended. */
  answer(question: StreamedCheck, answer: Buffer): void;
}

/** One question on a stream of `StreamChecks`: a call of `IsBlacklisted` with the stream's credentials. */
export class StreamedCheck extends AnsweredCall<IsBlacklistedRequest, Answer> {
  readonly #id: number;
  readonly #stream: QuestionStream;

  constructor(
    { id, question, metadata }: StreamChecksRequest,
    method: QuestionMethod,
    stream: QuestionStream,
  ) {
    super(method, metadata && spansOf(metadata, method));
    this.#id = id;
    this.#stream = stream;
    // A message without a question is treated as a question without tokens.
    this.request = question ?? create(IsBlacklistedRequestSchema);
  }

  get peer(): string {
    return this.#stream.peer;
  }

  get authorization(): readonly unknown[] {
    return this.#stream.authorization;
  }

  certificate(): PeerCertificate | undefined {
    return this.#stream.certificate();
  }

  run(request: StreamChecksRequest): void {
    if (!this.enter()) return;
    try {
      this.failAfter(readCheckTimeout(request));
    } catch (error) {
      this.fail(error);
      return;
    }
    this.authenticateAndProceed();
  }

  protected override proceed(): void {
    // Refused only here, since a unary call's caller is authenticated, too, before its message is validated.
    if (this.request === TOO_LARGE) this.fail(tooLarge(MAX_SMALL_REQUEST_BYTES));
    else super.proceed();
  }

  protected override encode(value: Answer): Buffer {
    return encode(StreamChecksResponseSchema, { id: this.#id, outcome: { case: "answer", value } });
  }

  protected override succeed(encoded: Buffer): void {
    if (this.end(status.OK)) this.#send(encoded);
  }

  fail(error: unknown): void {
    const failure = presentable(error);
    if (!this.end(codeOf(failure), failure)) return;
    const outcome = { case: "status", value: encodedStatusOf(failure) };
    this.#send(encode(StreamChecksResponseSchema, { id: this.#id, outcome }));
  }

  /** Sends the answer, and drops the messages, since the stream keeps this object until the connection has taken the answer. */
  #send(encoded: Buffer): void {
    this.request = undefined;
    this.output = undefined;
    this.#stream.answer(this, encoded);
  }

  protected override release(): void {
    super.release();
    // Unlike for a unary call, even if the handler still runs: the stream bounds how many of its questions are being handled.
    this.leave();
  }
}

/** Starts the spans of a question; undefined if the question is not traced. */
function spansOf(metadata: QuestionMetadata, { spans }: QuestionMethod): CallSpans | undefined {
  // Invalid metadata must not reach OpenTelemetry, which would parse it. A question with invalid metadata fails later.
  if (spans === undefined || questionMetadataProblem(metadata) !== undefined) return undefined;
  const { values } = metadata;
  return spans.begin({
    get: (name) => (Object.hasOwn(values, name) ? [values[name]] : []),
    getMap: () => values,
  });
}

/** Stands for a question that is too large. */
const TOO_LARGE = create(IsBlacklistedRequestSchema);

/**
 * A `decode` for messages of `StreamChecks` that replaces questions that are too large by {@link TOO_LARGE}, since grpc-js buffers up to sixteen
 * messages of a stream that is not being read. Only the fields that the error response needs are kept.
 */
export function withoutLargeQuestion(decode: (bytes: Buffer) => object): (bytes: Buffer) => object {
  return (bytes) => {
    const request = decode(bytes);
    if (bytes.length <= MAX_SMALL_REQUEST_BYTES || (request as unknown) === MALFORMED) return request;
    const { id, timeout } = request as StreamChecksRequest;
    const kept = create(StreamChecksRequestSchema, timeout === undefined ? { id } : { id, timeout });
    kept.question = TOO_LARGE;
    return kept;
  };
}
