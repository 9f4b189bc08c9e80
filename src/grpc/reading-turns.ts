import { performance } from "node:perf_hooks";
import { IDLE_TURN_MS, LONG_TURN_MS, MAX_READERS, MAX_TURN_BYTES, MAX_TURN_CALLS } from "../limits.ts";

/** What brings the bytes of a connection. */
export interface Source {
  readStart(): unknown;
  readStop(): unknown;
  /** Since the beginning. */
  readonly bytesRead: number;
}

/**
 * Has connections on which no caller is known read by turns: a few of them at a time, each until something has come, then a rest for as long
 * as that took. Whatever all of them send, everybody else is served in between. Known callers' connections are none of these.
 */
export class ReadingTurns {
  readonly #reading = new Set<Reader>();
  /** Those that have not had a turn yet, and those that have; each in the order in which they wait. */
  readonly #fresh = new Set<Reader>();
  readonly #waiting = new Set<Reader>();
  /** How many may read in one turn. */
  #most = MAX_READERS;
  /** Whether anything has come in this turn. */
  #isIdle = true;
  #next: { readonly cancel: () => void; readonly isIdle: boolean } | undefined;

  /** The connection is read in its turns from now on. `flooded` is to close it: nothing good can come of it. */
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
    // Nobody who comes has to wait for those that say nothing.
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

  /** Not all that comes is heard of: frames that are no calls, and calls that HTTP/2 refuses. */
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
    // Those that say nothing give way.
    for (const reader of this.#reading) {
      if (this.#reading.size + this.#fresh.size + this.#waiting.size <= this.#most) break;
      this.#wait(reader);
    }
    while (this.#reading.size < this.#most && this.#waits) {
      // By turns here too: neither newcomers nor the others can hold the rest up.
      this.#startFirst(this.#fresh);
      this.#startFirst(this.#waiting);
    }
    // What has come for them is read before this.
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
    const timer = setTimeout(this.#turn, isIdle ? IDLE_TURN_MS : ms).unref();
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
  /** Whether it is read by turns. */
  #takesTurns = true;
  /** Of this turn. */
  #calls = 0;
  #bytesBefore = 0;

  constructor(source: Source, turns: Turns) {
    this.#source = source;
    this.#turns = turns;
  }

  /** Something has come that is known of here: that was its turn. */
  heard(): void {
    if (this.#takesTurns) this.#turns.pause();
  }

  /** A call has begun. */
  begun(): void {
    this.heard();
    // More than may be open at once have begun in one turn: it resets them.
    if (this.#takesTurns && ++this.#calls > MAX_TURN_CALLS) this.#turns.flooded();
  }

  /** A caller is known on it: it is read whenever there is something. */
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

  /** Whether anything has come in this turn; nothing of it was heard. */
  hasRead(): boolean {
    const bytes = this.#source.bytesRead - this.#bytesBefore;
    if (bytes > MAX_TURN_BYTES) this.#turns.flooded();
    return bytes > 0;
  }
}
