import { performance } from "node:perf_hooks";
import { LONG_TURN_MS, MAX_READERS, MAX_TURN_BYTES, MAX_TURN_CALLS } from "../limits.ts";
import type { PausableConnection } from "./call-slices.ts";

/** Time without a turn of more than LONG_TURN_MS after which each further turn may read one more connection. */
const LONG_TURN_RECOVERY_MS = 1000;
/** Number of turns for which a new connection is preferred to older ones: enough for its settings and a first call. */
export const FIRST_TURNS = 8;
/** Pause after a turn in which nothing was received, while connections wait for a turn. */
const IDLE_PAUSE_MS = 5;
/** The same pause while no connection waits: pauses of 5 ms would cost 4 % of a core for one idle connection of a load balancer. */
const UNCONTENDED_IDLE_PAUSE_MS = 50;
/** With this many late messages on a connection, further calls whose caller has no room are refused before their headers are read. */
const MANY_LATE_MESSAGES = 4;
/** How long the connection of an authenticated caller is read in turns after a late message, or another reason for turns. */
const TURNS_AFTER_LATE_MS = 1000;
/**
 * Maximum bytes that the connection of an authenticated caller may receive in one turn without an event. Above MAX_TURN_BYTES, since data of
 * refused calls also arrives without an event, up to the windows of HTTP/2.
 */
export const MAX_AUTHENTICATED_TURN_BYTES = 1024 * 1024;
/** How long a connection is not read after a call was refused for lack of room. */
const REFUSAL_PAUSE_MS = 400;

/** The handle from which the bytes of a connection are read. */
export interface Source {
  readStart(): unknown;
  readStop(): unknown;
  /** Total number of bytes read. */
  readonly bytesRead: number;
}

/**
 * Reads connections in turns. A few connections at a time have a turn; each is read until it has received something. After the turn comes a
 * pause as long as the turn took, in which other connections are served, however much those in turns send.
 */
export class ReadingTurns {
  readonly #reading = new Set<Reader>();
  /** Waiting connections that have had no turn, fewer than FIRST_TURNS turns, and more turns; in each set, the longest wait first. */
  readonly #waiting = [new Set<Reader>(), new Set<Reader>(), new Set<Reader>()] as const;
  /** The index of the set from which the next connection is taken. */
  #nextSet = 0;
  /** How many connections may read in one turn. */
  #maxReading = MAX_READERS;
  /** When the last turn of more than LONG_TURN_MS ended, by the monotonic clock. */
  #longTurnEndedAt = Number.NEGATIVE_INFINITY;
  /** Whether no connection has received anything in this turn. */
  #isIdle = true;
  /** The scheduled next step; `isIdle` if it is the end of the pause after an idle turn. */
  #nextStep: { readonly cancel: () => void; readonly isIdle: boolean } | undefined;

  /** From now on, the connection is read in turns. */
  enter(reader: Reader): void {
    this.#wait(reader);
    // A new connection does not wait for the pause of an idle turn.
    if (this.#nextStep?.isIdle) {
      this.#nextStep.cancel();
      this.#nextStep = undefined;
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
    // Node.js by itself resumes reading a connection after a write that did not complete at once, which is common over TLS.
    else reader.stopReading();
    this.#schedule();
  }

  #wait(reader: Reader): void {
    this.#reading.delete(reader);
    reader.stopReading();
    this.#waiting[reader.turnCount === 0 ? 0 : reader.turnCount < FIRST_TURNS ? 1 : 2].add(reader);
  }

  /**
   * Ends the turns of connections that have received something without an event: frames that belong to no call, or calls that HTTP/2
   * refuses.
   */
  #endAfterSilentInput(): void {
    for (const reader of this.#reading) {
      if (reader.turnBytes === 0) continue;
      reader.closeIfFlooded();
      this.#isIdle = false;
      this.#wait(reader);
    }
  }

  #schedule(): void {
    if (this.#nextStep !== undefined) return;
    const immediate = setImmediate(this.#turn);
    this.#nextStep = { cancel: () => clearImmediate(immediate), isIdle: false };
  }

  readonly #turn = (): void => {
    const began = performance.now();
    this.#isIdle = true;
    this.#endAfterSilentInput();
    // Idle connections give way to waiting ones.
    for (const reader of this.#reading) {
      if (this.#reading.size + this.#waitingCount <= this.#maxReading) break;
      this.#wait(reader);
    }
    while (this.#reading.size < this.#maxReading && this.#waitingCount > 0) this.#startNext();
    // Runs after the pending input of these connections has been read.
    const immediate = setImmediate(() => this.#endTurn(performance.now() - began));
    this.#nextStep = { cancel: () => clearImmediate(immediate), isIdle: false };
  };

  /** Takes a connection from one set after another, so that no set delays the connections of another. */
  #startNext(): void {
    const waiting = this.#waiting[this.#nextSet as 0 | 1 | 2];
    this.#nextSet = (this.#nextSet + 1) % this.#waiting.length;
    const [first] = waiting;
    if (first === undefined) return;
    waiting.delete(first);
    this.#reading.add(first);
    first.startReading();
  }

  #endTurn(turnMs: number): void {
    this.#nextStep = undefined;
    this.#endAfterSilentInput();
    const now = performance.now();
    if (turnMs > LONG_TURN_MS) {
      this.#maxReading = 1;
      this.#longTurnEndedAt = now;
    } else if (now > this.#longTurnEndedAt + LONG_TURN_RECOVERY_MS)
      this.#maxReading = Math.min(MAX_READERS, this.#maxReading + 1);
    if (this.#reading.size === 0 && this.#waitingCount === 0) return;
    const isIdle = this.#isIdle;
    const idlePauseMs = this.#waitingCount > 0 ? IDLE_PAUSE_MS : UNCONTENDED_IDLE_PAUSE_MS;
    const timer = setTimeout(this.#turn, isIdle ? idlePauseMs : turnMs).unref();
    this.#nextStep = { cancel: () => clearTimeout(timer), isIdle };
  }

  get #waitingCount(): number {
    return this.#waiting.reduce((sum, { size }) => sum + size, 0);
  }
}

interface Setup {
  readonly turns: {
    /** For connections on which no caller is authenticated. */
    readonly unauthenticated: ReadingTurns;
    /** For other connections, while they are read in turns. */
    readonly authenticated: ReadingTurns;
  };
  /** Must close the connection, whose peer sends more than a well-behaved peer does. */
  readonly closeAsFlooding: () => void;
}

/**
 * Controls the reading of one connection. It is read in turns until a caller is authenticated on it, and later while it has late messages (see
 * LATE_MESSAGE_MS), calls are refused for lack of room, or it receives much that belongs to no call. Otherwise it is read at any time.
 */
export class Reader implements PausableConnection {
  readonly #source: Source;
  readonly #setup: Setup;
  /** The turns that the connection takes; undefined while it is read at any time. */
  #turns: ReadingTurns | undefined;
  /** Whether a caller is authenticated on the connection. */
  #isAuthenticated = false;
  /** Number of reasons for which the connection is not read now. */
  #pauses = 0;
  #isPausedAfterRefusal = false;
  #isClosed = false;
  /** `bytesRead` of the source at the last {@link #pauseForOthers}. */
  #bytesReadAtPause = 0;
  /** Bytes of messages received since then, with overhead. */
  #messageBytes = 0;
  /** Calls whose message is late. */
  #lateMessages = 0;
  /** By the monotonic clock. */
  #needsTurnsUntil = 0;
  /** Calls refused for lack of room, until none has been refused for TURNS_AFTER_LATE_MS. */
  #refusedForRoom = 0;
  /** `bytesRead` of the source at the last {@link checkInputWithoutEvents}, and the bytes of headers and messages since then. */
  #bytesReadAtCheck = 0;
  #bytesOfCalls = 0;
  /** The first caller on the connection. */
  #caller: string | undefined;
  #hasSeveralCallers = false;
  /** The `authorization` header of the first call that was passed on. */
  authorization: string | undefined;
  /** Number of turns that the connection has had. */
  turnCount = 0;
  /** Number of calls begun in this turn of the event loop. */
  #callsInEventLoopTurn = 0;
  /** `bytesRead` of the source when the connection's turn began. */
  #bytesReadAtTurn = 0;

  constructor(source: Source, setup: Setup) {
    this.#source = source;
    this.#setup = setup;
    this.#readIn(setup.turns.unauthenticated);
  }

  /**
   * Whether several messages are late, or several calls were refused for lack of room a short while ago. A single such call says little about
   * the next call, which may be another caller's, behind a proxy.
   */
  get hasManyLateMessages(): boolean {
    if (this.#refusedForRoom > 0 && performance.now() > this.#needsTurnsUntil) this.#refusedForRoom = 0;
    return this.#lateMessages + this.#refusedForRoom >= MANY_LATE_MESSAGES;
  }

  /** Whether messages are late, calls are refused for lack of room, or much comes without events, now or until a short while ago. */
  get needsTurns(): boolean {
    return this.#lateMessages > 0 || performance.now() < this.#needsTurnsUntil;
  }

  /** To be called when the connection has received something: ends its turn. No effect while it is read at any time. */
  endTurn(): void {
    if (this.#turns === undefined) return;
    if (this.#isAuthenticated && !this.needsTurns) this.#readIn(undefined);
    else this.#turns.end(this);
  }

  /** To be called when a call has begun. */
  callBegun(headerBytes = 0): void {
    if (this.#isAuthenticated) {
      this.#authenticatedCallBegun(headerBytes);
      return;
    }
    this.endTurn();
    // Counted per turn of the event loop, since Node.js reads the connection outside of its own turns, too, after it has sent an answer.
    if (this.#callsInEventLoopTurn++ === 0) {
      setImmediate(() => {
        this.#callsInEventLoopTurn = 0;
      });
    }
    // More calls have begun at once than may be open: the peer resets calls as it sends them.
    if (this.#callsInEventLoopTurn > MAX_TURN_CALLS) this.#setup.closeAsFlooding();
  }

  /** To be called when a caller has been authenticated on the connection. */
  authenticated(): void {
    if (this.#isAuthenticated) return;
    this.#isAuthenticated = true;
    this.#readIn(this.needsTurns ? this.#setup.turns.authenticated : undefined);
  }

  /** To be called when a call's message becomes late. */
  lateMessageFound(): void {
    if (this.#lateMessages++ === 0 && this.#isAuthenticated) this.#readIn(this.#setup.turns.authenticated);
  }

  /** To be called when a late message has arrived, or its call has ended. */
  lateMessageResolved(): void {
    if (--this.#lateMessages === 0) this.#needsTurnsUntil = performance.now() + TURNS_AFTER_LATE_MS;
  }

  pauseReading(): void {
    if (this.#pauses++ > 0) return;
    this.#turns?.leave(this);
    this.#source.readStop();
  }

  resumeReading(): void {
    if (--this.#pauses === 0) this.#resume();
  }

  /** To be called when a call that waited for its message was refused for lack of room. After several, the connection is not read for a while. */
  refusedForRoom(): void {
    if (!this.needsTurns) this.#refusedForRoom = 0;
    this.#needsTurnsUntil = performance.now() + TURNS_AFTER_LATE_MS;
    this.#refusedForRoom++;
    if (this.hasManyLateMessages) this.pauseAfterRefusal();
    else if (this.#turns === undefined) this.#readIn(this.#setup.turns.authenticated);
  }

  /** To be called when an admitted call has sent its complete request, which makes up for a call that was refused. */
  requestCompleted(): void {
    if (this.#refusedForRoom > 0) this.#refusedForRoom--;
  }

  /** Stops reading for REFUSAL_PAUSE_MS after a call was refused for lack of room, since the next calls would be refused as well. */
  pauseAfterRefusal(): void {
    if (this.#isPausedAfterRefusal) return;
    this.#isPausedAfterRefusal = true;
    this.pauseReading();
    setTimeout(() => {
      this.#isPausedAfterRefusal = false;
      this.resumeReading();
    }, REFUSAL_PAUSE_MS).unref();
  }

  /** To be called with the caller of each call. */
  callOf(name: string): void {
    if (this.#caller === undefined) this.#caller = name;
    else if (this.#caller !== name) this.#hasSeveralCallers = true;
  }

  /** The caller of all calls on the connection; undefined if there was no call, or several callers, as through a proxy. */
  get caller(): string | undefined {
    return this.#hasSeveralCallers ? undefined : this.#caller;
  }

  /** To be called periodically: a connection that has received MAX_TURN_BYTES without an event since the last call is read in turns. */
  checkInputWithoutEvents(): void {
    const { bytesRead } = this.#source;
    const bytesWithoutEvents = bytesRead - this.#bytesReadAtCheck - this.#bytesOfCalls;
    this.#bytesReadAtCheck = bytesRead;
    this.#bytesOfCalls = 0;
    if (!this.#isAuthenticated || this.#turns !== undefined || bytesWithoutEvents < MAX_TURN_BYTES) return;
    this.#needsTurnsUntil = performance.now() + TURNS_AFTER_LATE_MS;
    this.#readIn(this.#setup.turns.authenticated);
  }

  /**
   * To be called with the size of each received part of a message. After MAX_TURN_BYTES, the connection pauses until others have been read. No
   * effect until a caller is authenticated.
   */
  received(bytes: number): void {
    if (!this.#isAuthenticated) return;
    this.#bytesOfCalls += bytes;
    this.#messageBytes += bytes;
    if (this.#turns !== undefined) this.endTurn();
    else if (this.#messageBytes >= MAX_TURN_BYTES) this.#pauseForOthers();
  }

  /** Like {@link received}, but everything read since the last pause counts, ignored frames too, with a limit twice as high. */
  #authenticatedCallBegun(headerBytes: number): void {
    this.#bytesOfCalls += headerBytes;
    if (this.#turns !== undefined) this.endTurn();
    else if (this.#source.bytesRead - this.#bytesReadAtPause >= 2 * MAX_TURN_BYTES) this.#pauseForOthers();
  }

  #pauseForOthers(): void {
    this.#messageBytes = 0;
    this.#bytesReadAtPause = this.#source.bytesRead;
    this.pauseReading();
    setImmediate(() => this.resumeReading());
  }

  /** To be called when the connection has been closed. */
  closed(): void {
    this.#isClosed = true;
    this.#turns?.leave(this);
    this.#turns = undefined;
  }

  /** Begins a turn of the connection. */
  startReading(): void {
    this.turnCount++;
    this.#bytesReadAtTurn = this.#source.bytesRead;
    this.#source.readStart();
  }

  stopReading(): void {
    this.#source.readStop();
  }

  /** Bytes received in the connection's turn. */
  get turnBytes(): number {
    return this.#source.bytesRead - this.#bytesReadAtTurn;
  }

  /** Closes the connection if it has received too much in its turn without an event, which would have ended the turn. */
  closeIfFlooded(): void {
    const max = this.#isAuthenticated ? MAX_AUTHENTICATED_TURN_BYTES : MAX_TURN_BYTES;
    if (this.turnBytes > max) this.#setup.closeAsFlooding();
  }

  /** From now on, the connection is read in `turns` or, if undefined, at any time. */
  #readIn(turns: ReadingTurns | undefined): void {
    if (this.#isClosed) return;
    this.#turns?.leave(this);
    this.#turns = turns;
    if (this.#pauses === 0) this.#resume();
  }

  #resume(): void {
    if (this.#isClosed) return;
    if (this.#turns === undefined) this.#source.readStart();
    else this.#turns.enter(this);
  }
}
