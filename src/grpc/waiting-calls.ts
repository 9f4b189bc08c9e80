import type { FairCapacity } from "../admission/fair-capacity.ts";
import { LATE_MESSAGE_MS, MAX_RECEIVE_MS, MAX_UNFINISHED_BYTES } from "../limits.ts";
import type { Clock } from "../time/clock.ts";
import type { Reader } from "./reading-turns.ts";

/** How many waiting calls of a caller end for its new calls in LATE_MESSAGE_MS: ending a call costs about as much as serving one. */
const MAX_ENDINGS = 16;
/** A caller with more than this of the second half of the room is one that holds much of the room. */
const MUCH_ROOM_BYTES = MAX_UNFINISHED_BYTES / 8;

/** A call that waits for a message, for the rest of a message, or, with its message, for the client's half-close. */
export abstract class WaitingCall {
  // Maintained by WaitingCalls:
  /** Whether its message counts as late on its connection. */
  isMessageLate = false;
  /** When it began to wait, by the monotonic clock. */
  waitingSince = 0;
  isWaiting = false;
  /** The neighbours in the list of waiting calls. */
  before: WaitingCall | undefined;
  after: WaitingCall | undefined;

  /** The caller whose room it occupies. */
  abstract get owner(): string;

  /** Whether ending the call makes room for another call of its caller. */
  abstract get canMakeRoom(): boolean;

  abstract get reader(): Reader | undefined;

  /** Must end the call: its message has not arrived within MAX_RECEIVE_MS. */
  abstract timedOut(): void;

  /** Must end the call for lack of room. */
  abstract failForRoom(): void;

  /** Called about every LATE_MESSAGE_MS while the call waits, not before it has waited for so long. */
  abstract stillWaits(): void;

  /** Must take room or end the call: it was added without room, and still waits at the end of that turn of the event loop. */
  abstract needRoom(): void;
}

/**
 * All calls that wait, longest wait first. Limits the time that a message may take to arrive, and ends the calls that have waited longest when
 * room is needed. The calls are the nodes of a linked list, and a removed call has no links: the tables of a Set would keep removed calls
 * alive for so long that garbage collection would take a tenth of the time of a call.
 */
export class WaitingCalls {
  readonly #clock: Clock;
  /** The memory for incomplete messages, which callers share. */
  readonly #room: FairCapacity;
  #first: WaitingCall | undefined;
  #last: WaitingCall | undefined;
  #hasTimer = false;
  /** Calls that were added without room in this turn of the event loop. */
  #withoutRoom: WaitingCall[] = [];
  /** How many calls have been ended for new ones in this interval of LATE_MESSAGE_MS, by the caller. */
  readonly #endings = new Map<string, number>();

  constructor(clock: Clock, room: FairCapacity) {
    this.#clock = clock;
    this.#room = room;
  }

  /** Starts the time limit for the call's message. */
  add(call: WaitingCall): void {
    call.waitingSince = this.#clock.monotonic();
    call.isWaiting = true;
    call.before = this.#last;
    if (this.#last === undefined) this.#first = call;
    else this.#last.after = call;
    this.#last = call;
    if (!this.#hasTimer) this.#checkAfter(LATE_MESSAGE_MS);
  }

  /**
   * Like {@link add}, for a call that finds no room. Most messages arrive with the headers, so most calls need no room any more at the end of
   * this turn of the event loop. Calls that still wait then get `needRoom`.
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

  /** To be called when the call waits no longer, or has ended. No effect on a call that does not wait. */
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
    if (!call.isMessageLate) return;
    call.isMessageLate = false;
    call.reader?.lateMessageResolved();
  }

  /**
   * Ends the call of `owner`, other than `except`, that has waited longest of those that can make room. False if there is no such call. Clients
   * send a small message with the headers, so a call that still waits when another call needs room is likely abandoned.
   */
  endLongest(owner: string, except: WaitingCall): boolean {
    for (let call = this.#first; call !== undefined; call = call.after) {
      if (call === except || !call.canMakeRoom || call.owner !== owner) continue;
      this.remove(call);
      call.failForRoom();
      return true;
    }
    return false;
  }

  /** As {@link endLongest}, for a new call. False if MAX_ENDINGS calls of `owner` were ended so just now. */
  endLongestForNew(owner: string, except: WaitingCall): boolean {
    const endings = this.#endings.get(owner) ?? 0;
    if (endings >= MAX_ENDINGS || !this.endLongest(owner, except)) return false;
    if (this.#endings.size === 0) this.#clock.schedule(LATE_MESSAGE_MS, () => this.#endings.clear());
    this.#endings.set(owner, endings + 1);
    return true;
  }

  /** Sets one timer for all calls, since thousands of calls begin and end before it fires. */
  #checkAfter(ms: number): void {
    this.#hasTimer = true;
    this.#clock.schedule(ms, () => {
      this.#hasTimer = false;
      const now = this.#clock.monotonic();
      let first = this.#first;
      for (; first !== undefined && first.waitingSince + MAX_RECEIVE_MS <= now; first = this.#first) {
        this.remove(first);
        first.timedOut();
      }
      this.#checkLate(now - LATE_MESSAGE_MS);
      if (first !== undefined) this.#checkAfter(LATE_MESSAGE_MS);
    });
  }

  /**
   * Checks the calls that have waited since `time` or longer. Under load, messages are late because of the service itself. So they count as late
   * only while more than half of the room is taken, and only if their caller holds much of it.
   */
  #checkLate(time: number): void {
    const isScarce = this.#room.taken > MAX_UNFINISHED_BYTES / 2;
    let next: WaitingCall | undefined;
    for (let call = this.#first; call !== undefined && call.waitingSince <= time; call = next) {
      next = call.after;
      if (isScarce && !call.isMessageLate && this.#holdsMuch(call.owner)) {
        call.isMessageLate = true;
        call.reader?.lateMessageFound();
      }
      call.stillWaits();
    }
  }

  /** Always true without a name, since callers without names are not distinguished. */
  #holdsMuch(owner: string): boolean {
    return owner === "" || this.#room.ownOf(owner) > MUCH_ROOM_BYTES;
  }
}
