import type { ClientHttp2Stream } from "node:http2";
import { create } from "@bufbuild/protobuf";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import {
  type IsBlacklistedRequest,
  StreamChecksRequestSchema,
  TokenBlacklist,
  Verdict,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { Admission } from "../../src/admission/admission.ts";
import type { KnownCaller } from "../../src/caller.ts";
import { type Principal, UNRESTRICTED_PRINCIPAL } from "../../src/caller.ts";
import { boundedDecoding } from "../../src/grpc/authenticated-service.ts";
import type { Decode } from "../../src/grpc/bounded-decoding.ts";
import { openCheckStreams } from "../../src/grpc/check-call.ts";
import { TOKEN_BLACKLIST_RULES } from "../../src/grpc/methods.ts";
import { LogSampling } from "../../src/logging/log-sampling.ts";
import { Metrics } from "../../src/metrics/metrics.ts";
import { encode, methodDefinition } from "../../src/protobuf/service-definition.ts";
import { Asker, CHECK_PATH, type Outcome, type Refusal } from "./asker.ts";
import { callEnvironment } from "./call-environment.ts";
import { FakeClock } from "./fake-clock.ts";
import { framed, Http2Connection } from "./http2-call.ts";
import { memoryLog } from "./memory-log.ts";
import { RawChannel } from "./raw-channel.ts";
import { until } from "./until.ts";

/** Concurrent streams, in total and of one caller. */
export const MAX_STREAMS = 3;
export const PATIENCE = { withinMs: 3000 };

export interface Answer {
  readonly verdicts: Verdict[];
  readonly revision: string;
}

/** A question that has reached the handler, and waits. */
export interface HeldQuestion {
  readonly name: string;
  readonly caller: KnownCaller;
  answer(value?: Answer): void;
  fail(error: unknown): void;
}

/** What the handler answers by default, and the outcome at the client. */
export const FINE: Answer & Outcome = { verdicts: [Verdict.NOT_BLACKLISTED], revision: "r" };

export const refusal = (
  code: Refusal["code"],
  { reason = code, message, retryAfterMs, violations = [] }: Partial<Omit<Refusal, "code">>,
) => ({ code, reason, message, retryAfterMs, violations });

/** The outcome of a question that was not answered within `ms`. */
export const late = (ms: number) =>
  refusal("DEADLINE_EXCEEDED", { message: `not answered within ${ms} ms`, retryAfterMs: undefined });

/** The names of the first `count` questions. */
export const many = (count: number) => Array.from({ length: count }, (_, index) => `q${index}`);

/** `StreamChecks` alone on a server, with a handler whose answers the test gives, and a channel to it. */
export class CheckCallStage {
  readonly clock = new FakeClock();
  readonly admission = new Admission();
  readonly metrics = new Metrics({ version: "1.2.3", node: "20", schema: 4 });
  readonly log = memoryLog();
  /** Peers that the streams have disconnected. */
  readonly disconnected: string[] = [];
  /** All questions so far, in order, except those answered by `atOnce`. */
  readonly asked: HeldQuestion[] = [];
  readonly streams: ReturnType<typeof openCheckStreams>;
  /** The handler's immediate answer; undefined: questions wait. */
  atOnce: ((request: IsBlacklistedRequest) => Answer) | undefined;
  authenticate: () => Principal | Promise<Principal> = () => UNRESTRICTED_PRINCIPAL;
  readonly #server = new Server();
  readonly #http2: Http2Connection[] = [];
  #address = "";
  #channel: RawChannel | undefined;

  private constructor() {
    const { clock, admission, metrics } = this;
    this.streams = openCheckStreams((request, caller) => this.#handle(request, caller), {
      environment: callEnvironment({
        log: this.log.log,
        logSampling: new LogSampling(new FakeClock()),
        authenticate: () => this.authenticate(),
        clock,
        admission,
        metrics,
      }),
      disconnect: (peer) => this.disconnected.push(peer),
      maxOpen: MAX_STREAMS,
      maxPerCaller: MAX_STREAMS,
    });
  }

  static async open(): Promise<CheckCallStage> {
    const stage = new CheckCallStage();
    await stage.#listen();
    return stage;
  }

  async #listen(): Promise<void> {
    const { streamChecks } = TokenBlacklist.method;
    const definition = methodDefinition(streamChecks);
    const requestDeserialize = boundedDecoding(
      streamChecks,
      TOKEN_BLACKLIST_RULES.streamChecks,
      definition.requestDeserialize as Decode,
    );
    this.#server.addService({ streamChecks: { ...definition, requestDeserialize } } as never, {
      streamChecks: this.streams.handle,
    });
    const port = await new Promise<number>((resolve, reject) => {
      this.#server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      );
    });
    this.#address = `127.0.0.1:${port}`;
    this.#channel = new RawChannel(this.#address);
  }

  #handle(request: IsBlacklistedRequest, caller: KnownCaller): Answer | Promise<Answer> {
    const [name = ""] = request.jtis;
    if (this.atOnce !== undefined) return this.atOnce(request);
    return new Promise((resolve, reject) => {
      this.asked.push({ name, caller, answer: (value = FINE) => resolve(value), fail: reject });
    });
  }

  async close(): Promise<void> {
    this.#channel?.close();
    await Promise.all(this.#http2.map((one) => one.close()));
    this.#server.forceShutdown();
  }

  /** A new stream on the channel. */
  asker(options?: ConstructorParameters<typeof Asker>[1]): Asker {
    return new Asker(this.#channel as RawChannel, options);
  }

  askMany(asker: Asker, count: number, from = 0): Promise<Outcome>[] {
    return Array.from({ length: count }, (_, index) => asker.ask({ jtis: [`q${from + index}`] }));
  }

  /** Resolves when `count` questions have reached the handler. */
  reached(count: number): Promise<void> {
    return until(() => this.asked.length >= count, { ...PATIENCE, what: `${count} questions have arrived` });
  }

  get names(): string[] {
    return this.asked.map(({ name }) => name);
  }

  nothingIsLeft(): Promise<void> {
    return until(() => this.admission.active === 0 && this.clock.pendingTimers === 0, {
      ...PATIENCE,
      what: "no call or timer is left",
    });
  }

  /** Resolves when everything sent before on the channel has arrived. */
  async arrived(): Promise<void> {
    const { asked } = this;
    const other = this.asker();
    const answer = other.ask({ jtis: ["marker"] });
    const isMarker = ({ name }: HeldQuestion) => name === "marker";
    if (this.atOnce === undefined) {
      await until(() => asked.some(isMarker), { ...PATIENCE, what: "the marker has arrived" });
      for (const marker of asked.splice(asked.findIndex(isMarker), 1)) marker.answer();
    }
    await answer;
    await other.done();
  }

  /** A stream of a bare connection, since a gRPC library reads ahead. Its questions are sent in one piece. */
  async openBare(
    questions: readonly string[],
  ): Promise<{ connection: Http2Connection; stream: ClientHttp2Stream }> {
    const connection = await Http2Connection.open(this.#address);
    this.#http2.push(connection);
    return { connection, stream: this.begin(connection, questions) };
  }

  begin(connection: Http2Connection, questions: readonly string[]): ClientHttp2Stream {
    const stream = connection.session.request({
      ":method": "POST",
      ":path": CHECK_PATH,
      "content-type": "application/grpc",
      te: "trailers",
    });
    stream.on("error", () => {});
    const messages = questions.map((name, id) => {
      const message = create(StreamChecksRequestSchema, { id, question: { jtis: [name] } });
      return framed(encode(StreamChecksRequestSchema, message));
    });
    stream.write(Buffer.concat(messages));
    return stream;
  }
}
