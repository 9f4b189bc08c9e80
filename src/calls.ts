import { ServiceError } from "./errors.ts";
import { FairRoom, type Part } from "./fair-room.ts";
import { MAX_CALLS, MAX_UNANSWERED_BYTES, MAX_UNSENT_BYTES } from "./limits.ts";

/**
 * Counts the calls being worked on, the bytes of their requests and the bytes of answers that a connection's client has not read, refuses more
 * than there may be, in all and of one caller, and knows when the last call has ended.
 */
export class Calls {
  readonly #room = new FairRoom(MAX_CALLS);
  /** Bytes of large requests. */
  readonly #requests = new FairRoom(MAX_UNANSWERED_BYTES);
  #draining = false;
  readonly #unsent = new Map<string, number>();
  readonly #onIdle: (() => void)[] = [];

  get active(): number {
    return this.#room.taken;
  }

  /** Why this connection's call may not begin now, or undefined after counting it in. */
  enter(peer: () => string): "DRAINING" | "OVERLOADED" | undefined {
    if (this.#draining) return "DRAINING";
    if (this.isUnread(peer) || !this.#room.enter()) return "OVERLOADED";
    return undefined;
  }

  /** Whose the call is that has entered. Undefined where that caller has too many: it has to leave then. */
  claim(caller: string): Part | undefined {
    return this.#room.claim(caller);
  }

  /** A large request of this caller's has arrived. Undefined where too much is held; else to be handed to {@link letGo}. */
  holdRequest(caller: string, bytes: number): Part | undefined {
    return this.#requests.take(caller, bytes);
  }

  letGo(part: Part, caller: string, bytes: number): void {
    this.#requests.giveBack(part, caller, bytes);
  }

  /** Whether a connection leaves so much unread that nothing more is done for it. */
  isUnread(peer: () => string): boolean {
    // Nearly always empty: what names the connection is asked for only when it matters.
    return this.#unsent.size > 0 && !this.mayHold(peer());
  }

  /** A call ends: `part` is what {@link claim} has returned. */
  leave(part: Part = "common", caller = ""): void {
    this.#room.giveBack(part, caller);
    if (this.active === 0) for (const idle of this.#onIdle.splice(0)) idle();
  }

  /** False while a connection leaves so much unread that nothing more is kept for it. */
  mayHold(peer: string): boolean {
    return (this.#unsent.get(peer) ?? 0) < MAX_UNSENT_BYTES;
  }

  /** Bytes of an answer wait for the client to read them. The returned function says that they have left. */
  hold(peer: string, bytes: number): () => void {
    this.#unsent.set(peer, (this.#unsent.get(peer) ?? 0) + bytes);
    return () => {
      const left = (this.#unsent.get(peer) ?? 0) - bytes;
      if (left > 0) this.#unsent.set(peer, left);
      else this.#unsent.delete(peer);
    };
  }

  /** Refuses every new call from now on, and resolves when those that have begun are done. */
  drain(): Promise<void> {
    this.#draining = true;
    return new Promise((resolve) => {
      if (this.active === 0) resolve();
      else this.#onIdle.push(resolve);
    });
  }
}

/** What a call is told that may not begin. */
export function refused(reason: keyof typeof REFUSALS): ServiceError {
  return new ServiceError(reason, REFUSALS[reason]);
}

const REFUSALS = {
  DRAINING: "this replica is shutting down",
  OVERLOADED: "too many calls are being answered",
} as const;
