import { create, fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { type ClientDuplexStream, status } from "@grpc/grpc-js";
import {
  type IsBlacklistedRequestSchema,
  IsBlacklistedResponseSchema,
  StreamChecksRequestSchema,
  type StreamChecksResponse,
  StreamChecksResponseSchema,
  type Verdict,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import type { StatusName } from "../../src/client/client-error.ts";
import { encode } from "../../src/protobuf/service-definition.ts";
import type { RawAnswer, RawCallOptions, RawChannel } from "./raw-channel.ts";
import { detailsOf, readDetails } from "./status-details.ts";
import { onEnd, type StreamEnd } from "./stream-end.ts";

export const CHECK_PATH = "/tokenblacklist.v1.TokenBlacklist/StreamChecks";

export type QuestionInit = MessageInitShape<typeof IsBlacklistedRequestSchema>;

/** The outcome of a question, on a stream or as a call. */
export type Outcome =
  | { readonly verdicts: readonly Verdict[]; readonly revision: string }
  | Refusal
  /** The stream has ended without a response. */
  | "unanswered";

export interface Refusal {
  readonly code: StatusName;
  readonly message: string;
  readonly reason: string | undefined;
  /** Fields with their violations. */
  readonly violations: readonly (readonly [field: string, description: string, reason?: string])[];
  readonly retryAfterMs: number | undefined;
}

export interface AskOptions {
  /** Default: the next id. */
  readonly id?: number;
  /** Absent: not set in the message. */
  readonly timeoutMs?: number;
  /** Absent: the message has none. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/** A client of `StreamChecks` without the client library's code: sends bytes of questions, and returns outcomes by id. */
export class Asker {
  readonly stream: ClientDuplexStream<Buffer, Buffer>;
  /** The ids of all responses, in order. */
  readonly answered: number[] = [];
  readonly ended: Promise<StreamEnd>;
  readonly #waiting = new Map<number, (outcome: Outcome) => void>();
  #lastId = 0;
  #isOver = false;

  constructor(channel: RawChannel, options?: RawCallOptions) {
    this.stream = channel.open(CHECK_PATH, options);
    this.stream.on("data", (bytes: Buffer) => this.#receive(fromBinary(StreamChecksResponseSchema, bytes)));
    this.ended = new Promise((resolve) => {
      onEnd(this.stream, (end) => {
        this.#isOver = true;
        for (const settle of this.#waiting.values()) settle("unanswered");
        this.#waiting.clear();
        resolve(end);
      });
    });
  }

  /** Questions without a response. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Never rejects. Without a `question` the message has none. */
  ask(
    question?: QuestionInit,
    { id = ++this.#lastId, timeoutMs, metadata: values }: AskOptions = {},
  ): Promise<Outcome> {
    const timeout = timeoutMs === undefined ? {} : { timeout: durationFromMs(timeoutMs) };
    const metadata = values === undefined ? {} : { metadata: { values } };
    return this.send({ id, ...(question && { question }), ...timeout, ...metadata });
  }

  /** The same with a malformed message. */
  send(message: MessageInitShape<typeof StreamChecksRequestSchema>): Promise<Outcome> {
    const { id = 0 } = message;
    if (this.#waiting.has(id)) throw new Error(`${id} waits for its answer`);
    return new Promise((resolve) => {
      if (this.#isOver) {
        resolve("unanswered");
        return;
      }
      this.#waiting.set(id, resolve);
      this.stream.write(encode(StreamChecksRequestSchema, create(StreamChecksRequestSchema, message)));
    });
  }

  /** The verdicts, or the reason of the failure. */
  async verdicts(...jtis: string[]): Promise<readonly Verdict[] | string | undefined> {
    const outcome = await this.ask({ jtis });
    if (outcome === "unanswered") return outcome;
    return "verdicts" in outcome ? outcome.verdicts : outcome.reason;
  }

  /** Half-closes the stream; resolves with its end. */
  done(): Promise<StreamEnd> {
    this.stream.end();
    return this.ended;
  }

  cancel(): void {
    this.stream.cancel();
  }

  #receive({ id, outcome }: StreamChecksResponse): void {
    this.answered.push(id);
    const settle = this.#waiting.get(id);
    if (settle === undefined) throw new Error(`an answer to ${id}, which was never asked`);
    this.#waiting.delete(id);
    if (outcome.case === "answer") {
      const { verdicts, revision } = outcome.value;
      settle({ verdicts, revision });
    } else if (outcome.case === "status") settle(refusalOf(readDetails(Buffer.from(outcome.value))));
    else throw new Error("an answer without an outcome");
  }
}

/** The outcome of a call of IsBlacklisted, in the same form. */
export function outcomeOf(answer: RawAnswer): Outcome {
  const { code, details: message, bytes } = answer;
  if (code === "OK" && bytes !== undefined) {
    const { verdicts, revision } = fromBinary(IsBlacklistedResponseSchema, bytes);
    return { verdicts, revision };
  }
  const details = detailsOf(answer);
  if (details === undefined) throw new Error(`${code} without details`);
  if (status[details.code] !== code || details.message !== message)
    throw new Error(`${code} says two things`);
  return refusalOf(details);
}

function refusalOf({ code, message, reason, violations = [], retryAfterMs }: ReturnType<typeof readDetails>) {
  return { code: status[code] as StatusName, message, reason, violations, retryAfterMs };
}
