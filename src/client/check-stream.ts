import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import type { Client, ClientDuplexStream, Metadata, ServiceError } from "@grpc/grpc-js";
import {
  type IsBlacklistedRequest,
  type IsBlacklistedResponse,
  QuestionMetadataSchema,
  type StreamChecksRequest,
  StreamChecksRequestSchema,
  type StreamChecksResponse,
  TokenBlacklist,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { methodDefinition } from "../protobuf/service-definition.ts";
import type { Clock } from "../time/clock.ts";
import { questionMetadata } from "./call-metadata.ts";
import { aborted, ClientError, malformedAnswer } from "./client-error.ts";
import { clientError, statusError } from "./grpc-error.ts";
import { onAbort } from "./on-abort.ts";
import type { AttemptOptions } from "./rpc-client.ts";
import { validateVerdicts } from "./validate-messages.ts";

/** Interval at which a stream is closed if it has got no question since the last time. */
export const IDLE_STREAM_MS = 1000;
/** A stream on which a question has been unanswered for this long gets no further questions: its replica may be gone. */
export const SLOW_STREAM_MS = 50;

interface Setup {
  readonly metadata: Metadata;
  readonly clock: Clock;
  /** How long the stream accepts checks, in milliseconds. */
  readonly lifetimeMs: number;
  /** Called once the stream has ended on both sides. */
  readonly onEnd: () => void;
}

/** The stream has ended, with this error, before the check was answered. */
export interface StreamEnd {
  readonly streamEnd: ClientError;
}

interface PendingQuestion {
  readonly request: IsBlacklistedRequest;
  /** By the monotonic clock. */
  readonly askedAt: number;
  resolve(answer: IsBlacklistedResponse | StreamEnd): void;
  reject(error: ClientError): void;
}

/** One `StreamChecks` stream: checks are sent as they are made, and answered in any order. */
export class CheckStream {
  readonly #call: ClientDuplexStream<StreamChecksRequest, StreamChecksResponse>;
  readonly #setup: Setup;
  /** By the monotonic clock. */
  readonly beganAt: number;
  /** Pending checks by id, oldest first. */
  readonly #asked = new Map<number, PendingQuestion>();
  #lastId = 0;
  /** The value of `#lastId` when the stream was last examined for idleness. */
  #seenId = 0;
  #isRetired = false;
  /** The error with which the stream ended. */
  #endError: ClientError | undefined;
  /** A check timed out and no answer has arrived since it was sent. */
  #isSilent = false;
  /** When the last answer arrived, by the monotonic clock. */
  #lastAnswerAt = Number.NEGATIVE_INFINITY;
  #cancelTimer = () => {};

  constructor(grpc: Client, setup: Setup) {
    const { path, requestSerialize, responseDeserialize } = methodDefinition(
      TokenBlacklist.method.streamChecks,
    );
    this.#setup = setup;
    this.beganAt = setup.clock.monotonic();
    this.#call = grpc.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, setup.metadata);
    this.#call.on("data", (response: StreamChecksResponse) => this.#receive(response));
    this.#call.on("error", (error: ServiceError) => this.#finish(clientError(error)));
    this.#call.on("end", () =>
      this.#finish(new ClientError("UNAVAILABLE", "the service has ended the stream")),
    );
    this.#call.on("status", () => {
      this.#cancelTimer();
      setup.onEnd();
    });
    this.#retireLater();
  }

  /** False past the stream's lifetime, and while its oldest check has waited for {@link SLOW_STREAM_MS}. */
  get acceptsChecks(): boolean {
    if (this.#isRetired || this.#endError !== undefined) return false;
    const [oldest] = this.#asked.values();
    return oldest === undefined || this.#setup.clock.monotonic() - oldest.askedAt < SLOW_STREAM_MS;
  }

  /** Whether any answer or error for a check has arrived. */
  get hasAnswered(): boolean {
    return this.#lastAnswerAt !== Number.NEGATIVE_INFINITY;
  }

  /**
   * Sends one check. Rejects with a ClientError if the service gives an error for it, if it is aborted, and after `timeoutMs` at the
   * latest, even if the stream hangs.
   */
  ask(request: IsBlacklistedRequest, options: AttemptOptions): Promise<IsBlacklistedResponse | StreamEnd> {
    const { timeoutMs, signal, metadata } = options;
    return new Promise((resolve, reject) => {
      if (this.#endError !== undefined) return resolve({ streamEnd: this.#endError });
      if (signal?.aborted) return reject(aborted("check"));
      const { clock } = this.#setup;
      const id = ++this.#lastId;
      const settle = () => {
        cancelTimer();
        unlisten();
        this.#asked.delete(id);
        this.#endIfDone();
      };
      const fail = (error: ClientError) => {
        settle();
        reject(error);
      };
      const askedAt = clock.monotonic();
      const unanswered = (error: ClientError) => {
        // The replica may have died without closing the connection.
        if (this.#lastAnswerAt < askedAt) this.#isRetired = this.#isSilent = true;
        fail(error);
      };
      const cancelTimer = clock.schedule(timeoutMs, () => {
        unanswered(new ClientError("DEADLINE_EXCEEDED", `no answer within ${timeoutMs} ms`));
      });
      const unlisten = onAbort(signal, () => unanswered(aborted("check")));
      this.#asked.set(id, {
        request,
        askedAt,
        resolve: (answer) => {
          settle();
          resolve(answer);
        },
        reject: fail,
      });
      const timeout = durationFromMs(timeoutMs);
      const message = create(StreamChecksRequestSchema, { id, question: request, timeout });
      if (metadata !== undefined) {
        message.metadata = create(QuestionMetadataSchema, { values: questionMetadata(metadata) });
      }
      this.#call.write(message);
    });
  }

  /** Accepts no more checks; pending checks are still answered. */
  retire(): void {
    this.#isRetired = true;
    this.#endIfDone();
  }

  /** Ends the stream; pending checks fail with `error`. */
  cancel(error: ClientError): void {
    this.#finish(error);
    this.#call.cancel();
  }

  #receive({ id, outcome }: StreamChecksResponse): void {
    this.#lastAnswerAt = this.#setup.clock.monotonic();
    const asked = this.#asked.get(id);
    // The check was abandoned.
    if (asked === undefined) return;
    try {
      if (outcome.case === "answer") {
        validateVerdicts(asked.request, outcome.value);
        asked.resolve(outcome.value);
      } else if (outcome.case === "status") asked.reject(statusError(outcome.value));
      else throw malformedAnswer("the service sent an unknown kind of answer");
    } catch (error) {
      asked.reject(error as ClientError);
    }
  }

  #endIfDone(): void {
    if (!this.#isRetired || this.#endError !== undefined || this.#asked.size > 0) return;
    this.#finish(new ClientError("UNAVAILABLE", "the stream of checks has ended"));
    if (this.#isSilent) {
      this.#call.cancel();
      return;
    }
    this.#call.end();
    // A stream that the service never ends would keep its connection, and thereby the process, alive for ever.
    this.#cancelTimer = this.#setup.clock.schedule(IDLE_STREAM_MS, () => this.#call.cancel());
  }

  #finish(error: ClientError): void {
    if (this.#endError !== undefined) return;
    this.#endError = error;
    this.#cancelTimer();
    for (const asked of [...this.#asked.values()]) asked.resolve({ streamEnd: error });
  }

  #retireLater(): void {
    const { clock, lifetimeMs } = this.#setup;
    this.#cancelTimer = clock.schedule(IDLE_STREAM_MS, () => {
      const isIdle = this.#lastId === this.#seenId;
      this.#seenId = this.#lastId;
      if (isIdle || clock.monotonic() - this.beganAt >= lifetimeMs) this.retire();
      else this.#retireLater();
    });
  }
}
