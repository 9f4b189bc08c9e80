import type { handleBidiStreamingCall, ServerDuplexStream } from "@grpc/grpc-js";
import { inTurns } from "../blacklist/in-turns.ts";
import { ServiceError } from "../errors.ts";
import type { Principal } from "../principal.ts";

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

/** What a stream tells of itself. */
export interface StreamEvents {
  /** It is known who opened it. Throws OVERLOADED where there is no place for it. */
  onKnown(principal: Principal): void;
  /** Nothing of it is left. */
  onClosed(): void;
}

interface Options<I, S> {
  readonly open: (call: ServerDuplexStream<I, Buffer>, events: StreamEvents) => S;
  /** Streams at once, and of one known caller. */
  readonly most: number;
  readonly perCaller: number;
}

/** What it takes to judge a caller whose token has to be verified anew, but for what other threads do of it, in microseconds. */
const JUDGEMENT_MICROS = 100;

/** The streams of a method. */
export class OpenStreams<I, S extends OpenStream> {
  readonly #options: Options<I, S>;
  /** Until the last byte of each has gone: only then is its memory free. */
  readonly #open = new Set<S>();
  readonly #places: StreamPlaces<S>;

  constructor(options: Options<I, S>) {
    this.#options = options;
    this.#places = new StreamPlaces(options);
  }

  /** What grpc-js calls for each stream. */
  readonly handle: handleBidiStreamingCall<I, Buffer> = (call) => {
    const stream = this.#options.open(call, {
      onKnown: ({ name }) => this.#places.take(stream, name),
      onClosed: () => {
        this.#open.delete(stream);
        this.#places.giveBack(stream);
      },
    });
    this.#open.add(stream);
    stream.run();
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

/**
 * The places of streams, which principals share. When all are taken, a principal that has fewer
 * than another one gets the place of the other's newest stream: so everybody comes in, however many somebody else has. Callers without a name
 * are not told apart, and may have all.
 */
class StreamPlaces<S extends OpenStream> {
  readonly #limits: { readonly most: number; readonly perCaller: number };
  /** By the principal's name, in the order in which they came; only principals that have any. */
  readonly #byName = new Map<string, Set<S>>();
  readonly #names = new Map<S, string>();

  constructor(limits: { readonly most: number; readonly perCaller: number }) {
    this.#limits = limits;
  }

  /** Throws OVERLOADED where there is no place. */
  take(stream: S, name: string): void {
    const { most, perCaller } = this.#limits;
    const own = this.#byName.get(name)?.size ?? 0;
    if (name !== "" && own >= perCaller) {
      throw TOO_MANY_OF_CALLER;
    }
    if (this.#names.size >= most && !this.#makeRoom(own)) {
      throw TOO_MANY;
    }
    const streams = this.#byName.get(name) ?? new Set();
    this.#byName.set(name, streams.add(stream));
    this.#names.set(stream, name);
  }

  giveBack(stream: S): void {
    const name = this.#names.get(stream);
    if (name === undefined) return;
    this.#names.delete(stream);
    const streams = this.#byName.get(name);
    streams?.delete(stream);
    if (streams?.size === 0) this.#byName.delete(name);
  }

  /** Ends a stream of the principal that has most, unless somebody with `own` streams would then have more. */
  #makeRoom(own: number): boolean {
    let largest: ReadonlySet<S> = new Set();
    for (const streams of this.#byName.values()) if (streams.size > largest.size) largest = streams;
    if (largest.size <= own + 1) return false;
    const victim = [...largest].at(-1) as S;
    this.giveBack(victim);
    victim.fail(PLACE_NEEDED);
    return true;
  }
}

// Made once: thousands may be refused in a second, and the stack says nothing.
const TOO_MANY = new ServiceError("OVERLOADED", "too many streams are kept");
const TOO_MANY_OF_CALLER = new ServiceError("OVERLOADED", "the caller has too many streams");
const PLACE_NEEDED = new ServiceError("OVERLOADED", "callers with fewer streams need the place of this one");
