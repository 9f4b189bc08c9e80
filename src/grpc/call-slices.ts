import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { performance } from "node:perf_hooks";
import { CALL_SLICE_MS } from "../limits.ts";

type Begin = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void;

/** The connection of a call, as far as calls that wait concern it. */
export interface CallSource {
  /** Calls of the connection wait: nothing more needs to be read from it. */
  hold(): void;
  /** None of its calls waits any more. */
  release(): void;
}

interface WaitingCall {
  readonly stream: ServerHttp2Stream;
  readonly headers: IncomingHttpHeaders;
}

/**
 * Begins calls for at most CALL_SLICE_MS in one turn of the event loop. One read of a connection can bring a thousand of them, and all
 * other work would wait until the last has begun. Those that wait begin in later turns, one of each connection after another.
 */
export class CallSlices {
  readonly #begin: Begin;
  /** Schedules the next slice, after one that took `ms`. */
  readonly #schedule: (slice: () => void, ms: number) => void;
  readonly #waiting = new Map<CallSource, WaitingCall[]>();
  /** When the present slice ends; infinite if none has begun in this turn. */
  #endsAt = Number.POSITIVE_INFINITY;
  #isOpen = false;

  constructor(
    begin: Begin,
    schedule: (slice: () => void, ms: number) => void = (slice) => setImmediate(slice),
  ) {
    this.#begin = begin;
    this.#schedule = schedule;
  }

  /** Begins the call, now or later. A call that ends before its turn is not begun. */
  add(source: CallSource, stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    if (this.#waiting.size === 0 && this.#hasTime()) {
      this.#begin(stream, headers);
      return;
    }
    // Without a listener, an error of the stream would end the process.
    stream.on("error", ignore);
    const waiting = this.#waiting.get(source);
    if (waiting !== undefined) waiting.push({ stream, headers });
    else {
      this.#waiting.set(source, [{ stream, headers }]);
      source.hold();
    }
  }

  #hasTime(): boolean {
    const now = performance.now();
    if (!this.#isOpen) {
      this.#isOpen = true;
      this.#endsAt = now + CALL_SLICE_MS;
      setImmediate(this.#close);
      return true;
    }
    return now < this.#endsAt;
  }

  readonly #close = (): void => {
    if (this.#waiting.size === 0) this.#isOpen = false;
    else this.#schedule(this.#slice, CALL_SLICE_MS);
  };

  readonly #slice = (): void => {
    const began = performance.now();
    this.#endsAt = began + CALL_SLICE_MS;
    this.#beginByTurns();
    if (this.#waiting.size === 0) setImmediate(this.#close);
    else this.#schedule(this.#slice, performance.now() - began);
  };

  /** Begins one call of each connection, again and again, until the slice ends. */
  #beginByTurns(): void {
    for (const [source, waiting] of this.#waiting) {
      const { stream, headers } = waiting.shift() as WaitingCall;
      // Moved behind the others, which this loop or the next slice comes to first.
      this.#waiting.delete(source);
      if (waiting.length > 0) this.#waiting.set(source, waiting);
      else source.release();
      if (!stream.aborted && !stream.destroyed && !stream.closed) this.#begin(stream, headers);
      if (performance.now() >= this.#endsAt) return;
    }
  }
}

function ignore(): void {}
