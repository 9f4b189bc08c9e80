import type { handleBidiStreamingCall, ServerDuplexStream } from "@grpc/grpc-js";
import { timeSliced } from "../blacklist/time-slicing.ts";
import { ServiceError } from "../errors.ts";
import { type CalledMethod, RefusedCall } from "./call.ts";

export interface RegisteredStream {
  /** Authenticates the caller, and begins to read messages. */
  run(): void;
  /** Ends the stream with an error. */
  fail(error: ServiceError): void;
  /** Authenticates the caller again, and ends the stream if it would no longer be admitted. */
  reauthenticate(): void;
  /** Ends the stream with an error once its outstanding responses have been sent. */
  drain(error: ServiceError): void;
}

/** Lets a stream take one of the limited number of slots for streams of its method. */
export interface StreamSlot {
  /** Takes a slot for the caller `name`. No effect if the stream has a slot. Throws OVERLOADED if the caller can have no further slot. */
  take(name: string): void;
  /** Gives the slot back, if the stream has one. To be called when the stream has ended completely. */
  release(): void;
}

/** Limits on the streams of a method. */
export interface StreamLimits {
  /** Maximum number of open streams. Absent: the method's own maximum. */
  readonly maxOpen?: number;
  /** Maximum number of open streams of one known caller. */
  readonly maxPerCaller: number;
}

interface Options<I, S> extends Required<StreamLimits> {
  readonly method: CalledMethod;
  readonly createStream: (call: ServerDuplexStream<I, Buffer>, slot: StreamSlot) => S;
}

/** Estimated cost of authenticating a caller again, in microseconds, without verifying the signature, which another thread does. */
const REAUTHENTICATION_MICROS = 100;

/**
 * The open streams of a method, whose slots callers share. When all slots are taken, a new stream replaces the newest stream of the caller with
 * the most streams, unless the new stream's caller would then have more streams than that caller. Callers without a name are not
 * distinguished, and may take all slots.
 */
export class StreamRegistry<I, S extends RegisteredStream> {
  readonly #options: Options<I, S>;
  /** All streams, each until its last byte has been sent, since it uses memory until then. */
  readonly #open = new Set<S>();
  /** The streams with a slot, by the name of their caller; each set in the order in which the slots were taken. */
  readonly #byName = new Map<string, Set<S>>();
  /** The caller's name of each stream with a slot. */
  readonly #names = new Map<S, string>();

  constructor(options: Options<I, S>) {
    this.#options = options;
  }

  /** Called by grpc-js with each stream. */
  readonly handle: handleBidiStreamingCall<I, Buffer> = (call) => {
    const stream = this.#options.createStream(call, {
      take: (name) => this.#take(stream, name),
      release: () => {
        this.#open.delete(stream);
        this.#giveBack(stream);
      },
    });
    this.#open.add(stream);
    stream.run();
  };

  /** Counts and logs a stream of `peer` that the transport has refused before its first message. */
  refused(error: ServiceError, peer: string): void {
    new RefusedCall(this.#options.method, peer).failed(error);
  }

  /** Ends the streams whose callers would no longer be admitted. To be called when keys, roles or authorities have changed. */
  reauthenticate(): void {
    const all = [...this.#open].map((stream) => ({ cost: REAUTHENTICATION_MICROS, stream }));
    timeSliced(all, ({ stream }) => stream.reauthenticate());
  }

  /** Ends all streams with DRAINING, so that clients move to another replica. */
  drain(): void {
    for (const stream of this.#open) {
      stream.drain(new ServiceError("DRAINING", "this replica is shutting down"));
    }
  }

  #take(stream: S, name: string): void {
    if (this.#names.has(stream)) return;
    const { maxOpen, maxPerCaller } = this.#options;
    const own = this.#byName.get(name)?.size ?? 0;
    if (name !== "" && own >= maxPerCaller) throw TOO_MANY_OF_CALLER;
    if (this.#names.size >= maxOpen && !this.#makeRoom(own)) throw TOO_MANY;
    const streams = this.#byName.get(name) ?? new Set();
    this.#byName.set(name, streams.add(stream));
    this.#names.set(stream, name);
  }

  #giveBack(stream: S): void {
    const name = this.#names.get(stream);
    if (name === undefined) return;
    this.#names.delete(stream);
    const streams = this.#byName.get(name);
    streams?.delete(stream);
    if (streams?.size === 0) this.#byName.delete(name);
  }

  /** Evicts a stream in favour of a caller that has `own` streams. False if that caller may have no further stream. */
  #makeRoom(own: number): boolean {
    let largest: ReadonlySet<S> = new Set();
    for (const streams of this.#byName.values()) if (streams.size > largest.size) largest = streams;
    if (largest.size <= own + 1) return false;
    const victim = [...largest].at(-1) as S;
    this.#giveBack(victim);
    victim.fail(EVICTED);
    return true;
  }
}

// Created once: thousands of streams may be refused in a second, and the errors' stacks are not used.
const TOO_MANY = new ServiceError("OVERLOADED", "too many streams are open");
const TOO_MANY_OF_CALLER = new ServiceError("OVERLOADED", "the caller has too many streams");
const EVICTED = new ServiceError(
  "OVERLOADED",
  "this stream was replaced by one of a caller with fewer streams",
);
