import { create, toBinary } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { StatusSchema } from "../../gen/google/rpc/status_pb.js";
import {
  IsBlacklistedResponseSchema,
  type StreamChecksRequest,
  type StreamChecksResponse,
  type Verdict,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { until } from "../support/until.ts";
import type { CheckStreamCall } from "./scripted-service.ts";

/** A stream of `StreamChecks` at its service, whose responses the test sends. */
export class HeldStream {
  readonly call: CheckStreamCall;
  readonly questions: StreamChecksRequest[] = [];
  #isDone = false;

  constructor(call: CheckStreamCall) {
    this.call = call;
    call.on("data", (question: StreamChecksRequest) => this.questions.push(question));
    call.on("end", () => {
      this.#isDone = true;
    });
    call.on("error", () => {});
  }

  /** Resolves with the ids of the first questions, as soon as there are this many. */
  async asked(count: number): Promise<number[]> {
    await until(() => this.questions.length >= count, {
      withinMs: 5000,
      what: `${count} questions have arrived, not ${this.questions.length}`,
    });
    return this.questions.map(({ id }) => id);
  }

  /** Whether the client has half-closed or cancelled it. */
  get left(): "no" | "done" | "cancelled" {
    if (this.call.cancelled) return "cancelled";
    return this.#isDone ? "done" : "no";
  }

  isLeft(how: "done" | "cancelled"): Promise<void> {
    return until(() => this.left === how, { withinMs: 5000, what: `the stream is ${how}` });
  }

  /** Sends bytes unchanged. */
  say(message: Pick<StreamChecksResponse, "id" | "outcome"> | Buffer): void {
    this.call.write(message);
  }

  answer(id: number, ...verdicts: Verdict[]): void {
    const value = create(IsBlacklistedResponseSchema, { verdicts, revision: "r" });
    this.say({ id, outcome: { case: "answer", value } });
  }

  refuse(id: number, code: keyof typeof status): void {
    this.say({ id, outcome: { case: "status", value: encodedStatus(status[code]) } });
  }

  end(): void {
    this.call.end();
  }

  fail(code: keyof typeof status): void {
    this.call.emit("error", { code: status[code], details: "the stream fails" });
  }
}

/** Receives the streams of a scripted service, in the order in which they began. */
export function holdStreams(): { readonly streams: HeldStream[]; take(call: CheckStreamCall): void } {
  const streams: HeldStream[] = [];
  return { streams, take: (call) => void streams.push(new HeldStream(call)) };
}

export function encodedStatus(code: number): Buffer {
  return Buffer.from(toBinary(StatusSchema, create(StatusSchema, { code, message: "no" })));
}
