import { create, fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { type ClientDuplexStream, Metadata, status } from "@grpc/grpc-js";
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
import type { RawAnswer, RawChannel } from "./raw-channel.ts";
import { detailsOf, readDetails } from "./status-details.ts";
import { onEnd, type StreamEnd } from "./stream-end.ts";

export const CHECK_PATH = "/tokenblacklist.v1.TokenBlacklist/StreamChecks";

export type QuestionInit = MessageInitShape<typeof IsBlacklistedRequestSchema>;

/** What became of a question, whichever way it was asked. */
export type Outcome =
  | { readonly verdicts: readonly Verdict[]; readonly revision: string }
  | Refusal
  /** The stream has ended without an answer. */
  | "unanswered";

export interface Refusal {
  readonly code: StatusName;
  readonly message: string;
  readonly reason: string | undefined;
  /** Fields, and what is wrong with them. */
  readonly violations: readonly (readonly [field: string, description: string, reason?: string])[];
  readonly retryAfterMs: number | undefined;
}

export interface AskOptions {
  /** Absent: the next one. */
  readonly id?: number;
  /** Absent: the message says nothing of it. */
  readonly timeoutMs?: number;
}

/** A client of `StreamChecks` without any of the client library's code: bytes of questions out, outcomes by their ids in. */
export class Asker {
  readonly stream: ClientDuplexStream<Buffer, Buffer>;
  /** The ids of all answers, as they came. */
  readonly answered: number[] = [];
  readonly ended: Promise<StreamEnd>;
  readonly #waiting = new Map<number, (outcome: Outcome) => void>();
  #lastId = 0;
  #isOver = false;

  constructor(
    channel: RawChannel,
    { authorization = [], timeoutMs }: { authorization?: readonly string[]; timeoutMs?: number } = {},
  ) {
    const metadata = new Metadata();
    for (const value of authorization) metadata.add("authorization", value);
    const asIs = (bytes: Buffer) => bytes;
    this.stream = channel.grpc.makeBidiStreamRequest(
      CHECK_PATH,
      asIs,
      asIs,
      metadata,
      timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs },
    );
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

  /** Questions that are not answered yet. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Never rejects. Without a `question` the message has none. */
  ask(question?: QuestionInit, { id = ++this.#lastId, timeoutMs }: AskOptions = {}): Promise<Outcome> {
    const timeout = timeoutMs === undefined ? {} : { timeout: durationFromMs(timeoutMs) };
    return this.send({ id, ...(question && { question }), ...timeout });
  }

  /** The same, of a message that is not as it should be. */
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

  /** The verdicts of these, or the reason why there are none. */
  async verdicts(...jtis: string[]): Promise<readonly Verdict[] | string | undefined> {
    const outcome = await this.ask({ jtis });
    if (outcome === "unanswered") return outcome;
    return "verdicts" in outcome ? outcome.verdicts : outcome.reason;
  }

  /** Nothing more is asked; how it ends then. */
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
    if (settle === undefined) throw new Error(`an answer to ${id}, which nobody has asked`);
    this.#waiting.delete(id);
    if (outcome.case === "answer") {
      const { verdicts, revision } = outcome.value;
      settle({ verdicts, revision });
    } else if (outcome.case === "status") settle(refusalOf(readDetails(Buffer.from(outcome.value))));
    else throw new Error("an answer without an outcome");
  }
}

/** What a call of IsBlacklisted was told, in the same words. */
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
