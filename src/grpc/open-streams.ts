import type { handleBidiStreamingCall, ServerDuplexStream } from "@grpc/grpc-js";
import { inTurns } from "../blacklist/in-turns.ts";
import { ServiceError } from "../errors.ts";

/** A stream of a method, from its first message to its status. */
export interface OpenStream {
  run(): void;
  /** Ends it with an error. */
  fail(error: ServiceError): void;
  /** Ends it if its caller would not be let in any more. */
  judgeAgain(): void;
  /** Ends it with an error as soon as what it owes has been sent. */
  drain(error: ServiceError): void;
}

interface Options<I, S> {
  readonly open: (call: ServerDuplexStream<I, Buffer>, events: { onClosed(): void }) => S;
  /** Streams at once. */
  readonly most: number;
}

/** What it takes to judge a caller whose token has to be verified anew, but for what other threads do of it, in microseconds. */
const JUDGEMENT_MICROS = 100;

/** The streams of a method. */
export class OpenStreams<I, S extends OpenStream> {
  readonly #options: Options<I, S>;
  /** Until the last byte of each has gone: only then is its memory free. */
  readonly #open = new Set<S>();

  constructor(options: Options<I, S>) {
    this.#options = options;
  }

  /** What grpc-js calls for each stream. */
  readonly handle: handleBidiStreamingCall<I, Buffer> = (call) => {
    const { open, most } = this.#options;
    const stream = open(call, { onClosed: () => this.#open.delete(stream) });
    const isFull = this.#open.size >= most;
    this.#open.add(stream);
    if (isFull) stream.fail(new ServiceError("OVERLOADED", "too many streams are kept"));
    else stream.run();
  };

  /** Keys, roles or authorities have changed: ends those whose callers would not be let in any more. */
  judgeAgain(): void {
    const all = [...this.#open].map((stream) => ({ cost: JUDGEMENT_MICROS, stream }));
    inTurns(all, ({ stream }) => stream.judgeAgain());
  }

  /** Sends all of them to another replica. */
  drain(): void {
    for (const stream of this.#open) {
      stream.drain(new ServiceError("DRAINING", "this replica is shutting down"));
    }
  }
}
