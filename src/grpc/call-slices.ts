import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { performance } from "node:perf_hooks";
import { CALL_SLICE_MS } from "../limits.ts";

type BeginCall = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void;

/** The connection of a call. It is not read while calls of it wait to begin. */
export interface PausableConnection {
  pauseReading(): void;
  /** Ends one pause. Reading resumes when there have been as many calls of this method as of `pauseReading`. */
  resumeReading(): void;
}

interface WaitingCall {
  readonly stream: ServerHttp2Stream;
  readonly headers: IncomingHttpHeaders;
}

/**
 * Begins calls for at most CALL_SLICE_MS in one turn of the event loop. One read of a connection can bring a thousand calls, and all
 * other work would wait until the last of them has begun. The remaining calls wait, and begin in later slices: one call of each connection,
 * again and again.
 */
export class CallSlices {
  readonly #begin: BeginCall;
  readonly #schedule: (nextSlice: () => void, lastSliceMs: number) => void;
  readonly #waiting = new Map<PausableConnection, WaitingCall[]>();
  /** When the current slice ends, by the monotonic clock. Only meaningful if `#isInSlice`. */
  #endsAt = Number.POSITIVE_INFINITY;
  #isInSlice = false;

  /**
   * `schedule` must run `nextSlice` in a later turn of the event loop: by default in the next one. `lastSliceMs` is the duration of the slice
   * that has just ended; CALL_SLICE_MS for a slice that `add` began.
   */
  constructor(
    begin: BeginCall,
    schedule: (nextSlice: () => void, lastSliceMs: number) => void = (nextSlice) => setImmediate(nextSlice),
  ) {
    this.#begin = begin;
    this.#schedule = schedule;
  }

  /** Begins a call of `connection`, now or later. A waiting call that ends is not begun. */
  add(connection: PausableConnection, stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    if (this.#waiting.size === 0 && this.#isBeforeEndOfSlice()) {
      this.#begin(stream, headers);
      return;
    }
    // Without a listener, an error of the stream would end the process.
    stream.on("error", ignore);
    const waiting = this.#waiting.get(connection);
    if (waiting !== undefined) waiting.push({ stream, headers });
    else {
      this.#waiting.set(connection, [{ stream, headers }]);
      connection.pauseReading();
    }
  }

  #isBeforeEndOfSlice(): boolean {
    const now = performance.now();
    if (!this.#isInSlice) {
      this.#isInSlice = true;
      this.#endsAt = now + CALL_SLICE_MS;
      setImmediate(this.#endSlice);
      return true;
    }
    return now < this.#endsAt;
  }

  readonly #endSlice = (): void => {
    if (this.#waiting.size === 0) this.#isInSlice = false;
    else this.#schedule(this.#runSlice, CALL_SLICE_MS);
  };

  readonly #runSlice = (): void => {
    const began = performance.now();
    this.#endsAt = began + CALL_SLICE_MS;
    this.#beginRoundRobin();
    if (this.#waiting.size === 0) setImmediate(this.#endSlice);
    else this.#schedule(this.#runSlice, performance.now() - began);
  };

  /** Begins one call of each connection, again and again, until the slice ends. */
  #beginRoundRobin(): void {
    for (const [connection, waiting] of this.#waiting) {
      const { stream, headers } = waiting.shift() as WaitingCall;
      // Moved to the end of the map, so that the other connections come first, in this loop or the next slice.
      this.#waiting.delete(connection);
      if (waiting.length > 0) this.#waiting.set(connection, waiting);
      else connection.resumeReading();
      if (!stream.aborted && !stream.destroyed && !stream.closed) this.#begin(stream, headers);
      if (performance.now() >= this.#endsAt) return;
    }
  }
}

function ignore(): void {}
