import { performance } from "node:perf_hooks";
import {
  FIRST_TURNS,
  IDLE_TURN_MS,
  LONG_TURN_MS,
  MAX_READERS,
  MAX_TURN_BYTES,
  MAX_TURN_CALLS,
  QUIET_TURN_MS,
  SLOW_TURN_RECOVERY_MS,
} from "../limits.ts";
import type { CallSource } from "./call-slices.ts";

/** The source of a connection's bytes. */
export interface Source {
  readStart(): unknown;
  readStop(): unknown;
  /** Total number of bytes read. */
  readonly bytesRead: number;
}

/**
 * Reads unauthenticated connections in turns: a few at a time, each until it has received something, followed by a pause as long as the
 * turn took. However much they send, other connections are served in between. Connections of known callers are not restricted.
 */
export class ReadingTurns {
  readonly #reading = new Set<Reader>();
  /** Connections that have had no turn, fewer than FIRST_TURNS, and more; each set in order of waiting. */
  readonly #waiting = [new Set<Reader>(), new Set<Reader>(), new Set<Reader>()] as const;
  /** The index of the set that is next. */
  #nextSet = 0;
  /** How many connections may read in one turn. */
  #most = MAX_READERS;
  /** When the last turn that took too long ended, by the monotonic clock. */
  #slowAt = Number.NEGATIVE_INFINITY;
  /** Whether nothing has been received in this turn. */
  #isIdle = true;
  #next: { readonly cancel: () => void; readonly isIdle: boolean } | undefined;

  /** Reads the connection in turns from now on. `flooded` must close the connection, which sends more than a well-behaved peer does. */
  admit(source: Source, flooded: () => void): Reader {
    const reader = new Reader(source, {
      flooded,
      pause: () => {
        this.#isIdle = false;
        if (this.#reading.has(reader)) this.#wait(reader);
        // Node.js has begun to read it again by itself, after a write that did not complete at once, as over TLS.
        else reader.stop();
        this.#schedule();
      },
      leave: () => {
        this.#reading.delete(reader);
        for (const set of this.#waiting) set.delete(reader);
      },
      wait: () => {
        this.#wait(reader);
        this.#schedule();
      },
    });
    source.readStop();
    this.#waiting[0].add(reader);
    // A new connection does not wait for the pause of an idle turn.
    if (this.#next?.isIdle) {
      this.#next.cancel();
      this.#next = undefined;
    }
    this.#schedule();
    return reader;
  }

  #wait(reader: Reader): void {
    this.#reading.delete(reader);
    reader.stop();
    this.#waiting[reader.turns === 0 ? 0 : reader.turns < FIRST_TURNS ? 1 : 2].add(reader);
  }

  /** Finds input that raises no event: frames other than calls, and calls that HTTP/2 refuses. */
  #look(): void {
    for (const reader of this.#reading) {
      if (!reader.hasRead()) continue;
      this.#isIdle = false;
      this.#wait(reader);
    }
  }

  #schedule(): void {
    if (this.#next !== undefined) return;
    const immediate = setImmediate(this.#turn);
    this.#next = { cancel: () => clearImmediate(immediate), isIdle: false };
  }

  readonly #turn = (): void => {
    const began = performance.now();
    this.#isIdle = true;
    this.#look();
    // Idle connections give way to waiting ones.
    for (const reader of this.#reading) {
      if (this.#reading.size + this.#waits <= this.#most) break;
      this.#wait(reader);
    }
    while (this.#reading.size < this.#most && this.#waits > 0) this.#startNext();
    // Runs after the pending input of these connections has been read.
    const immediate = setImmediate(() => this.#rest(performance.now() - began));
    this.#next = { cancel: () => clearImmediate(immediate), isIdle: false };
  };

  /** Takes from one set after another, so that neither new connections nor the others delay the rest. */
  #startNext(): void {
    const waiting = this.#waiting[this.#nextSet as 0 | 1 | 2];
    this.#nextSet = (this.#nextSet + 1) % this.#waiting.length;
    const [first] = waiting;
    if (first === undefined) return;
    waiting.delete(first);
    this.#reading.add(first);
    first.start();
  }

  #rest(ms: number): void {
    this.#next = undefined;
    this.#look();
    const now = performance.now();
    if (ms > LONG_TURN_MS) {
      this.#most = 1;
      this.#slowAt = now;
    } else if (now > this.#slowAt + SLOW_TURN_RECOVERY_MS) this.#most = Math.min(MAX_READERS, this.#most + 1);
    if (this.#reading.size === 0 && this.#waits === 0) return;
    const isIdle = this.#isIdle;
    const idleMs = this.#waits > 0 ? IDLE_TURN_MS : QUIET_TURN_MS;
    const timer = setTimeout(this.#turn, isIdle ? idleMs : ms).unref();
    this.#next = { cancel: () => clearTimeout(timer), isIdle };
  }

  get #waits(): number {
    return this.#waiting.reduce((sum, { size }) => sum + size, 0);
  }
}

interface Turns {
  readonly flooded: () => void;
  readonly pause: () => void;
  readonly leave: () => void;
  /** Takes its place among the waiting connections again. */
  readonly wait: () => void;
}

/** One connection. */
export class Reader implements CallSource {
  readonly #source: Source;
  readonly #turns: Turns;
  /** Whether the connection is read in turns. */
  #takesTurns = true;
  /** How many reasons there are not to read the connection. */
  #holds = 0;
  #isClosed = false;
  /** Bytes of messages since reading last paused, if it does not take turns. */
  #received = 0;
  /** Number of turns that the connection has had. */
  turns = 0;
  /** Number of calls begun in this turn of the event loop. */
  #calls = 0;
  /** The source's total of bytes read at the beginning of this turn. */
  #bytesBefore = 0;

  constructor(source: Source, turns: Turns) {
    this.#source = source;
    this.#turns = turns;
  }

  /** The connection has received something, which ends its turn. */
  heard(): void {
    if (this.#takesTurns) this.#turns.pause();
  }

  /** A call has begun. */
  begun(): void {
    this.heard();
    if (!this.#takesTurns) return;
    // Counted in one turn of the event loop, since some are read outside of the connection's turns, after an answer.
    if (this.#calls++ === 0) {
      setImmediate(() => {
        this.#calls = 0;
      });
    }
    // More calls have begun at once than may be open, so the peer resets them.
    if (this.#calls > MAX_TURN_CALLS) this.#turns.flooded();
  }

  /** Reads the connection without turns from now on, since a caller is authenticated on it. */
  free(): void {
    if (!this.#takesTurns) return;
    this.#takesTurns = false;
    this.#turns.leave();
    if (this.#holds === 0) this.#source.readStart();
  }

  /** The connection is not read until {@link release}. */
  hold(): void {
    if (this.#holds++ > 0) return;
    this.#turns.leave();
    this.#source.readStop();
  }

  release(): void {
    if (--this.#holds > 0 || this.#isClosed) return;
    if (this.#takesTurns) this.#turns.wait();
    else this.#source.readStart();
  }

  /** The connection has received so many bytes of messages. Others are read before it continues with more than a read or two. */
  received(bytes: number): void {
    if (this.#takesTurns) return;
    this.#received += bytes;
    if (this.#received < MAX_TURN_BYTES) return;
    this.#received = 0;
    this.hold();
    setImmediate(() => this.release());
  }

  closed(): void {
    this.#isClosed = true;
    this.#takesTurns = false;
    this.#turns.leave();
  }

  start(): void {
    this.turns++;
    this.#bytesBefore = this.#source.bytesRead;
    this.#source.readStart();
  }

  stop(): void {
    this.#source.readStop();
  }

  /** Whether any bytes were received in this turn without an event. */
  hasRead(): boolean {
    const bytes = this.#source.bytesRead - this.#bytesBefore;
    if (bytes > MAX_TURN_BYTES) this.#turns.flooded();
    return bytes > 0;
  }
}
