import { performance } from "node:perf_hooks";
import { LONG_TURN_MS, MAX_READERS, MAX_TURN_BYTES, MAX_TURN_CALLS } from "../limits.ts";
import type { CallSource } from "./call-slices.ts";

/** Time without a long turn after which one more connection is read in each. */
const SLOW_TURN_RECOVERY_MS = 1000;
/** Turns of a new connection that do not wait for all the others: enough for its settings and a first call. */
export const FIRST_TURNS = 8;
/** Pause after a turn in which none of them had sent anything. */
const IDLE_TURN_MS = 5;
/** The same pause while all of them are read: at 5 ms, one idle connection of a load balancer's costs 4 % of a core. */
const QUIET_TURN_MS = 50;
/** Late calls of a connection on which further calls are refused while their caller has no room, before their headers are read. */
const MANY_LATE_CALLS = 4;
/** How long a connection takes turns after the last message that was late. */
const LATE_REST_MS = 1000;
/**
 * As MAX_TURN_BYTES, for the connection of a known caller. Data of calls that have been refused also arrives without an event, up to the
 * windows of HTTP/2.
 */
export const MAX_AUTHENTICATED_TURN_BYTES = 1024 * 1024;
/** How long a connection is not read after a call for which there was no room. */
const REFUSED_REST_MS = 400;

/** The source of a connection's bytes. */
export interface Source {
  readStart(): unknown;
  readStop(): unknown;
  /** Total number of bytes read. */
  readonly bytesRead: number;
}

/**
 * Reads connections in turns: a few at a time, each until it has received something, followed by a pause as long as the turn took. However
 * much they send, other connections are served in between.
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

  /** Reads the connection in turns from now on. */
  enter(reader: Reader): void {
    this.#wait(reader);
    // A new connection does not wait for the pause of an idle turn.
    if (this.#next?.isIdle) {
      this.#next.cancel();
      this.#next = undefined;
    }
    this.#schedule();
  }

  leave(reader: Reader): void {
    this.#reading.delete(reader);
    for (const set of this.#waiting) set.delete(reader);
  }

  /** Ends the turn of a connection that has received something. */
  end(reader: Reader): void {
    this.#isIdle = false;
    if (this.#reading.has(reader)) this.#wait(reader);
    // Node.js has begun to read it again by itself, after a write that did not complete at once, as over TLS.
    else reader.stop();
    this.#schedule();
  }

  #wait(reader: Reader): void {
    this.#reading.delete(reader);
    reader.stop();
    this.#waiting[reader.turns === 0 ? 0 : reader.turns < FIRST_TURNS ? 1 : 2].add(reader);
  }

  /** Ends turns by input that raises no event: frames other than calls, and calls that HTTP/2 refuses. */
  #endByBytes(): void {
    for (const reader of this.#reading) {
      if (reader.turnBytes === 0) continue;
      reader.closeIfFlooded();
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
    this.#endByBytes();
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
    this.#endByBytes();
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

interface Setup {
  /** Take turns: connections on which no caller is authenticated, and those on which calls are late with their messages. */
  readonly unauthenticated: ReadingTurns;
  readonly late: ReadingTurns;
  /** Must close the connection, whose peer sends more than a well-behaved one does. */
  readonly flooded: () => void;
}

/** One connection, as it is read: in turns until a caller is authenticated on it, while calls on it are late with their messages, and while it receives much beside calls. */
export class Reader implements CallSource {
  readonly #source: Source;
  readonly #setup: Setup;
  /** Undefined while the connection does not take turns. */
  #turns: ReadingTurns | undefined;
  /** Whether a caller is authenticated on the connection. */
  #isAuthenticated = false;
  /** How many reasons there are not to read the connection. */
  #holds = 0;
  #isResting = false;
  #isClosed = false;
  /** The source's total of bytes read when reading last paused, if it does not take turns. */
  #pausedAt = 0;
  /** Bytes of its calls' messages since then, with overhead. */
  #received = 0;
  #lateCalls = 0;
  #lateUntil = 0;
  /** Calls refused for lack of room since the connection last had none for LATE_REST_MS. */
  #refusedForRoom = 0;
  /** The source's total of bytes read at the last look, and the bytes of calls since. */
  #lookedAt = 0;
  #explained = 0;
  #caller: string | undefined;
  #hasSeveralCallers = false;
  /** Number of turns that the connection has had. */
  turns = 0;
  /** Number of calls begun in this turn of the event loop. */
  #calls = 0;
  /** The source's total of bytes read when the connection's turn began. */
  #bytesBefore = 0;

  constructor(source: Source, setup: Setup) {
    this.#source = source;
    this.#setup = setup;
    this.#take(setup.unauthenticated);
  }

  /** Whether several calls are late with their messages, or were refused a short while ago. One may be of another caller than those that follow, behind a proxy. */
  get hasManyLate(): boolean {
    if (this.#refusedForRoom > 0 && performance.now() > this.#lateUntil) this.#refusedForRoom = 0;
    return this.#lateCalls + this.#refusedForRoom >= MANY_LATE_CALLS;
  }

  /** Whether calls are late with their messages, or were a short while ago. */
  get isLate(): boolean {
    return this.#lateCalls > 0 || performance.now() < this.#lateUntil;
  }

  /** The connection has received something, which ends its turn. No effect if it takes no turns. */
  endTurn(): void {
    if (this.#turns === undefined) return;
    if (this.#isAuthenticated && !this.isLate) this.#take(undefined);
    else this.#turns.end(this);
  }

  /** A call has begun, with headers of `bytes`. */
  callBegun(bytes = 0): void {
    if (this.#isAuthenticated) {
      this.#callOfAuthenticatedBegun(bytes);
      return;
    }
    this.endTurn();
    // Counted per turn of the event loop and not of the connection, since Node.js also reads the connection after it has sent an answer.
    if (this.#calls++ === 0) {
      setImmediate(() => {
        this.#calls = 0;
      });
    }
    // More calls have begun at once than may be open, so the peer resets them.
    if (this.#calls > MAX_TURN_CALLS) this.#setup.flooded();
  }

  /** A caller is authenticated on the connection. */
  authenticated(): void {
    if (this.#isAuthenticated) return;
    this.#isAuthenticated = true;
    this.#take(this.isLate ? this.#setup.late : undefined);
  }

  /** A call is late with its message. */
  lateCallFound(): void {
    if (this.#lateCalls++ === 0 && this.#isAuthenticated) this.#take(this.#setup.late);
  }

  /** The message of a late call has arrived, or the call has ended. */
  lateCallEnded(): void {
    if (--this.#lateCalls === 0) this.#lateUntil = performance.now() + LATE_REST_MS;
  }

  /** The connection is not read until {@link release}. */
  hold(): void {
    if (this.#holds++ > 0) return;
    this.#turns?.leave(this);
    this.#source.readStop();
  }

  release(): void {
    if (--this.#holds === 0) this.#resume();
  }

  /** A call that waited for its message has been refused for lack of room. After several of them, what follows is not read for a while. */
  refusedForRoom(): void {
    if (!this.isLate) this.#refusedForRoom = 0;
    this.#lateUntil = performance.now() + LATE_REST_MS;
    this.#refusedForRoom++;
    if (this.hasManyLate) this.rest();
    else if (this.#turns === undefined) this.#take(this.#setup.late);
  }

  /** A call has been refused for lack of room: what follows is not read for a while, since it would be refused as well. */
  rest(): void {
    if (this.#isResting) return;
    this.#isResting = true;
    this.hold();
    setTimeout(() => {
      this.#isResting = false;
      this.release();
    }, REFUSED_REST_MS).unref();
  }

  /** A call of this caller has begun. */
  callOf(name: string): void {
    if (this.#caller === undefined) this.#caller = name;
    else if (this.#caller !== name) this.#hasSeveralCallers = true;
  }

  /** The caller of all calls on the connection; undefined if there was none, or several as through a proxy. */
  get caller(): string | undefined {
    return this.#hasSeveralCallers ? undefined : this.#caller;
  }

  /** To be called periodically: a connection that receives much that raises no event takes turns. */
  checkUnexplained(): void {
    const { bytesRead } = this.#source;
    const unexplained = bytesRead - this.#lookedAt - this.#explained;
    this.#lookedAt = bytesRead;
    this.#explained = 0;
    if (!this.#isAuthenticated || this.#turns !== undefined || unexplained < MAX_TURN_BYTES) return;
    this.#lateUntil = performance.now() + LATE_REST_MS;
    this.#take(this.#setup.late);
  }

  /** A known caller's connection has received so many bytes of a message. After MAX_TURN_BYTES it pauses until others have been read. */
  received(bytes: number): void {
    if (!this.#isAuthenticated) return;
    this.#explained += bytes;
    this.#received += bytes;
    if (this.#turns !== undefined) this.endTurn();
    else if (this.#received >= MAX_TURN_BYTES) this.#pause();
  }

  /** As {@link received}, and counts ignored frames before the call too. */
  #callOfAuthenticatedBegun(bytes: number): void {
    this.#explained += bytes;
    if (this.#turns !== undefined) this.endTurn();
    else if (this.#source.bytesRead - this.#pausedAt >= 2 * MAX_TURN_BYTES) this.#pause();
  }

  #pause(): void {
    this.#received = 0;
    this.#pausedAt = this.#source.bytesRead;
    this.hold();
    setImmediate(() => this.release());
  }

  closed(): void {
    this.#isClosed = true;
    this.#turns?.leave(this);
    this.#turns = undefined;
  }

  start(): void {
    this.turns++;
    this.#bytesBefore = this.#source.bytesRead;
    this.#source.readStart();
  }

  stop(): void {
    this.#source.readStop();
  }

  /** Bytes received in the connection's turn. */
  get turnBytes(): number {
    return this.#source.bytesRead - this.#bytesBefore;
  }

  /** Closes the connection if it has received too much in its turn, without an event that would have ended the turn. */
  closeIfFlooded(): void {
    const max = this.#isAuthenticated ? MAX_AUTHENTICATED_TURN_BYTES : MAX_TURN_BYTES;
    if (this.turnBytes > max) this.#setup.flooded();
  }

  #take(turns: ReadingTurns | undefined): void {
    if (this.#isClosed) return;
    this.#turns?.leave(this);
    this.#turns = turns;
    if (this.#holds === 0) this.#resume();
  }

  #resume(): void {
    if (this.#isClosed) return;
    if (this.#turns === undefined) this.#source.readStart();
    else this.#turns.enter(this);
  }
}
