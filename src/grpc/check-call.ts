import { create } from "@bufbuild/protobuf";
import { type ServerDuplexStream, status } from "@grpc/grpc-js";
import {
  IsBlacklistedRequestSchema,
  type StreamChecksRequest,
  StreamChecksResponseSchema,
  TokenBlacklist,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import type { KnownCaller } from "../caller.ts";
import { refused } from "../calls.ts";
import { ServiceError } from "../errors.ts";
import { MAX_STREAM_QUESTIONS, MAX_STREAM_STALL_MS, SMALL_ANSWER_BYTES, STREAM_TICK_MS } from "../limits.ts";
import type { MethodCalls } from "../metrics/call-metrics.ts";
import { NOBODY, type Principal } from "../principal.ts";
import { logCall } from "./call-log.ts";
import type { OpenStream } from "./open-streams.ts";
import { readQuestionTimeout } from "./requests.ts";
import { encode, type OutputOf } from "./service-definition.ts";
import { codeOf, encodedStatusOf, presentable } from "./status.ts";
import { authorize, StreamCall, type StreamEnvironment } from "./stream-call.ts";
import type { Handlers } from "./unary.ts";

type Answer = OutputOf<typeof TokenBlacklist, "isBlacklisted">;

interface Options extends StreamEnvironment {
  /** What answers a question, as it answers a call. */
  readonly handler: Handlers<typeof TokenBlacklist>["isBlacklisted"];
  /** Where questions are counted. */
  readonly questions: MethodCalls;
  /** Called when nothing of it is left. */
  readonly onClosed: () => void;
}

/** One stream of `StreamChecks`. Each question is let in, answered and counted as a call of `IsBlacklisted` would be. */
export class CheckCall implements OpenStream {
  readonly #stream: StreamCall<StreamChecksRequest>;
  readonly #options: Options;
  /** Questions whose answers the client's connection has not taken; how many of these are answered, in how many bytes. */
  readonly #open = new Set<Question>();
  #unsent = 0;
  #unsentBytes = 0;
  /** When the connection last took one, or had none to take, by the monotonic clock. */
  #takenAt = 0;
  /** The client will ask nothing more. */
  #isDone = false;
  /** Why nothing more is answered. */
  #draining: ServiceError | undefined;
  #cancelTick = () => {};

  constructor(call: ServerDuplexStream<StreamChecksRequest, Buffer>, options: Options) {
    this.#options = options;
    this.#stream = new StreamCall(call, {
      ...options,
      // A client begins one every few seconds.
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

  drain(error: ServiceError): void {
    this.#draining = error;
    this.#endIfDone();
  }

  #receive(request: StreamChecksRequest): void {
    // Whoever asks is told with the end of the stream that another replica has to be asked.
    if (this.#draining !== undefined) return;
    const question = new Question(request.id, {
      ...this.#options,
      peer: this.#stream.peer,
      authenticate: () => this.#stream.authenticate(),
      send: (answer) => this.#send(question, answer),
    });
    this.#open.add(question);
    // What it asks then waits in the connection, and its window closes.
    if (this.#open.size >= MAX_STREAM_QUESTIONS) this.#stream.pause();
    question.run(request);
  }

  #send(question: Question, answer: Buffer): void {
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

  /** What a stream leaves unread counts like an answer of that size. The returned function says that so much has left. */
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

  /** An end to whoever reads nothing. */
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

interface QuestionOptions extends Omit<Options, "authenticate"> {
  readonly peer: string;
  readonly authenticate: () => Principal | Promise<Principal>;
  readonly send: (answer: Buffer) => void;
}

/** One question of a stream, from its arrival to its answer. */
class Question implements KnownCaller {
  readonly #id: number;
  readonly #options: QuestionOptions;
  readonly #began: number;
  #isCountedIn = false;
  #cancelTimer = () => {};
  principal: Principal = NOBODY;
  gone = false;

  constructor(id: number, options: QuestionOptions) {
    this.#id = id;
    this.#options = options;
    this.#began = options.clock.monotonic();
    options.questions.begin();
  }

  run(request: StreamChecksRequest): void {
    const { authenticate, calls, clock, peer } = this.#options;
    try {
      const refusal = calls.enter(() => peer);
      if (refusal !== undefined) throw refused(refusal);
      this.#isCountedIn = true;
      const timeoutMs = readQuestionTimeout(request);
      this.#cancelTimer = clock.schedule(timeoutMs, () =>
        this.#failed(new ServiceError("DEADLINE_EXCEEDED", `not answered within ${timeoutMs} ms`)),
      );
      const principal = authenticate();
      if (principal instanceof Promise) {
        principal.then((known) => this.#admitted(known, request)).catch(this.#failed);
      } else this.#admitted(principal, request);
    } catch (error) {
      this.#failed(error);
    }
  }

  /** Claims its one end. False for whoever comes later. */
  end(code: status, failure?: ServiceError): boolean {
    if (this.gone) return false;
    this.gone = true;
    this.#cancelTimer();
    const { calls, clock, log, peer, questions } = this.#options;
    if (this.#isCountedIn) calls.leave();
    const milliseconds = clock.monotonic() - this.#began;
    questions.end(code, milliseconds / 1000);
    const caller = this.principal.name;
    // As it is counted: a line of StreamChecks is about a stream.
    const { name: method } = TokenBlacklist.method.isBlacklisted;
    logCall(log, { method, code, failure, milliseconds, caller, peer: () => peer }, { quiet: true });
    return true;
  }

  #admitted(principal: Principal, { question }: StreamChecksRequest): void {
    this.principal = principal;
    authorize(principal);
    // One that is absent is one that names no tokens.
    const answer = this.#options.handler(question ?? create(IsBlacklistedRequestSchema), this);
    if (answer instanceof Promise) answer.then(this.#answered).catch(this.#failed);
    else this.#answered(answer);
  }

  readonly #answered = (value: Answer): void => {
    const encoded = encode(StreamChecksResponseSchema, { id: this.#id, outcome: { case: "answer", value } });
    if (this.end(status.OK)) this.#options.send(encoded);
  };

  readonly #failed = (error: unknown): void => {
    const failure = presentable(error);
    if (!this.end(codeOf(failure), failure)) return;
    const outcome = { case: "status", value: encodedStatusOf(failure) };
    this.#options.send(encode(StreamChecksResponseSchema, { id: this.#id, outcome }));
  };
}
