import { performance } from "node:perf_hooks";
import {
  IDLE_TURN_MS,
  LONG_TURN_MS,
  MAX_READERS,
  MAX_TURN_BYTES,
  MAX_TURN_CALLS,
  QUIET_TURN_MS,
} from "../limits.ts";

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
  /** Connections that have not had a turn yet, and those that have; each in order of waiting. */
  readonly #fresh = new Set<Reader>();
  readonly #waiting = new Set<Reader>();
  /** How many connections may read in one turn. */
  #most = MAX_READERS;
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
        this.#schedule();
      },
      leave: () => {
        for (const set of [this.#reading, this.#fresh, this.#waiting]) set.delete(reader);
      },
    });
    source.readStop();
    this.#fresh.add(reader);
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
    this.#waiting.add(reader);
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
      if (this.#reading.size + this.#fresh.size + this.#waiting.size <= this.#most) break;
      this.#wait(reader);
    }
    while (this.#reading.size < this.#most && this.#waits) {
      // Alternates, so that neither new connections nor the others delay the rest.
      this.#startFirst(this.#fresh);
      this.#startFirst(this.#waiting);
    }
    // Runs after the pending input of these connections has been read.
    const immediate = setImmediate(() => this.#rest(performance.now() - began));
    this.#next = { cancel: () => clearImmediate(immediate), isIdle: false };
  };

  #startFirst(of: Set<Reader>): void {
    const [first] = of;
    if (first === undefined) return;
    of.delete(first);
    this.#reading.add(first);
    first.start();
  }

  #rest(ms: number): void {
    this.#next = undefined;
    this.#look();
    if (ms > LONG_TURN_MS) this.#most = Math.max(1, Math.floor(this.#most / 4));
    else if (ms < LONG_TURN_MS / 4) this.#most = Math.min(MAX_READERS, this.#most + 1);
    if (this.#reading.size === 0 && !this.#waits) return;
    const isIdle = this.#isIdle;
    const idleMs = this.#waits ? IDLE_TURN_MS : QUIET_TURN_MS;
    const timer = setTimeout(this.#turn, isIdle ? idleMs : ms).unref();
    this.#next = { cancel: () => clearTimeout(timer), isIdle };
  }

  get #waits(): boolean {
    return this.#fresh.size + this.#waiting.size > 0;
  }
}

interface Turns {
  readonly flooded: () => void;
  readonly pause: () => void;
  readonly leave: () => void;
}

/** One connection. */
export class Reader {
  readonly #source: Source;
  readonly #turns: Turns;
  /** Whether the connection is read in turns. */
  #takesTurns = true;
  /** Number of calls begun in this turn. */
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
    // More calls have begun in one turn than may be open at once, so the peer resets them.
    if (this.#takesTurns && ++this.#calls > MAX_TURN_CALLS) this.#turns.flooded();
  }

  /** Reads the connection without turns from now on, since a caller is authenticated on it. */
  free(): void {
    if (!this.#takesTurns) return;
    this.closed();
    this.#source.readStart();
  }

  closed(): void {
    this.#takesTurns = false;
    this.#turns.leave();
  }

  start(): void {
    this.#calls = 0;
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
