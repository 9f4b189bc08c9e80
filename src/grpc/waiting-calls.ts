import type { FairCapacity } from "../admission/fair-capacity.ts";
import { LATE_MESSAGE_MS, MAX_RECEIVE_MS, MAX_UNFINISHED_BYTES } from "../limits.ts";
import type { Clock } from "../time/clock.ts";
import type { Reader } from "./reading-turns.ts";

/** How many waiting calls end in favour of others in LATE_MESSAGE_MS: ending one costs about as much as a call. */
const MAX_ENDINGS = 16;
/** A caller with more of the second half of the room than this holds much of it. */
const MUCH_ROOM_BYTES = MAX_UNFINISHED_BYTES / 8;

/** A call that waits for a message, for the rest of one, or, with its message, for the client's half-close. */
export abstract class WaitingCall {
  /** Whether it is counted as late on its connection. */
  isLate = false;
  /** When it began to wait, by the monotonic clock. */
  since = 0;
  /** Maintained by {@link WaitingCalls}, like the links to its neighbours. */
  isWaiting = false;
  before: WaitingCall | undefined;
  after: WaitingCall | undefined;

  /** The caller whose room it occupies. */
  abstract get owner(): string;

  /** Whether its end gives room to another call of its caller. */
  abstract get canGiveWay(): boolean;

  abstract get reader(): Reader | undefined;

  /** Ends the call, whose message has not arrived in time. */
  abstract timedOut(): void;

  /** Ends the call for lack of room. */
  abstract failForRoom(): void;

  /** The call has waited for LATE_MESSAGE_MS or longer. */
  abstract waited(): void;

  /** The call was passed on without room, and still waits at the end of the turn. */
  abstract needRoom(): void;
}

/**
 * All calls that wait, longest wait first: limits the time that a message may take to arrive, and ends the longest waits where room is needed.
 * An intrusive linked list whose entries clear their links when removed: the tables of a Set would keep removed calls alive long enough to
 * cost a tenth of a call's time in garbage collection.
 */
export class WaitingCalls {
  readonly #clock: Clock;
  /** The room for incomplete messages that callers share. */
  readonly #room: FairCapacity;
  #first: WaitingCall | undefined;
  #last: WaitingCall | undefined;
  #isTimed = false;
  /** Calls that found no room, until the end of this turn of the event loop. */
  #withoutRoom: WaitingCall[] = [];
  /** How many calls may still end in favour of others before the next interval of LATE_MESSAGE_MS. */
  #endings = MAX_ENDINGS;

  constructor(clock: Clock, room: FairCapacity) {
    this.#clock = clock;
    this.#room = room;
  }

  /** Starts the time limit for the call's message. */
  add(call: WaitingCall): void {
    call.since = this.#clock.monotonic();
    call.isWaiting = true;
    call.before = this.#last;
    if (this.#last === undefined) this.#first = call;
    else this.#last.after = call;
    this.#last = call;
    if (!this.#isTimed) this.#lookAfter(LATE_MESSAGE_MS);
  }

  /**
   * As {@link add}, for a call that finds no room. Most messages arrive with the headers, so that the call needs no room by the end of the
   * turn. A call that still waits then is told so.
   */
  addWithoutRoom(call: WaitingCall): void {
    this.add(call);
    if (this.#withoutRoom.push(call) > 1) return;
    setImmediate(() => {
      const calls = this.#withoutRoom;
      this.#withoutRoom = [];
      for (const each of calls) if (each.isWaiting) each.needRoom();
    });
  }

  /** The call waits no longer. */
  remove(call: WaitingCall): void {
    if (!call.isWaiting) return;
    call.isWaiting = false;
    const { before, after } = call;
    if (before === undefined) this.#first = after;
    else before.after = after;
    if (after === undefined) this.#last = before;
    else after.before = before;
    call.before = undefined;
    call.after = undefined;
    if (!call.isLate) return;
    call.isLate = false;
    call.reader?.lateCallEnded();
  }

  /**
   * Ends the call of `owner`, other than `except`, that has waited longest of those that can give way. False if there is none, or if many
   * have ended just now. Clients send a small message with the headers, so a call that is still waiting when another one needs its room is
   * likely abandoned.
   */
  endLongest(owner: string, except: WaitingCall): boolean {
    if (this.#endings === 0) return false;
    for (let call = this.#first; call !== undefined; call = call.after) {
      if (call === except || !call.canGiveWay || call.owner !== owner) continue;
      if (this.#endings-- === MAX_ENDINGS) {
        this.#clock.schedule(LATE_MESSAGE_MS, () => {
          this.#endings = MAX_ENDINGS;
        });
      }
      this.remove(call);
      call.failForRoom();
      return true;
    }
    return false;
  }

  /** One timer for all calls, since thousands of calls begin and end before it fires. */
  #lookAfter(ms: number): void {
    this.#isTimed = true;
    this.#clock.schedule(ms, () => {
      this.#isTimed = false;
      const now = this.#clock.monotonic();
      let first = this.#first;
      for (; first !== undefined && first.since + MAX_RECEIVE_MS <= now; first = this.#first) {
        this.remove(first);
        first.timedOut();
      }
      this.#lookAtLate(now - LATE_MESSAGE_MS);
      if (first !== undefined) this.#lookAfter(LATE_MESSAGE_MS);
    });
  }

  /**
   * Looks at the calls that have waited since `time` or longer. Under load, messages are late because of the service itself, so they count as
   * late only while most of the room is taken, and only those of callers that hold much of it.
   */
  #lookAtLate(time: number): void {
    const isScarce = this.#room.taken > MAX_UNFINISHED_BYTES / 2;
    let next: WaitingCall | undefined;
    for (let call = this.#first; call !== undefined && call.since <= time; call = next) {
      next = call.after;
      if (isScarce && !call.isLate && this.#holdsMuch(call.owner)) {
        call.isLate = true;
        call.reader?.lateCallFound();
      }
      call.waited();
    }
  }

  /** Callers without a name share all the room. */
  #holdsMuch(owner: string): boolean {
    return owner === "" || this.#room.ownOf(owner) > MUCH_ROOM_BYTES;
  }
}
