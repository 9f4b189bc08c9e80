import { ServiceError } from "./errors.ts";
import { MAX_CALLS, MAX_UNSENT_BYTES } from "./limits.ts";

/**
 * Counts the calls being worked on and the bytes of answers that a connection's client has not read, refuses more than there may
 * be, and knows when the last call has ended.
 */
export class Calls {
  #active = 0;
  #draining = false;
  readonly #unsent = new Map<string, number>();
  readonly #onIdle: (() => void)[] = [];

  get active(): number {
    return this.#active;
  }

  /** Why this connection's call may not begin now, or undefined after counting it in. */
  enter(peer: () => string): "DRAINING" | "OVERLOADED" | undefined {
    if (this.#draining) return "DRAINING";
    if (this.#active >= MAX_CALLS) return "OVERLOADED";
    if (this.isUnread(peer)) return "OVERLOADED";
    this.#active++;
    return undefined;
  }

  /** Whether a connection leaves so much unread that nothing more is done for it. */
  isUnread(peer: () => string): boolean {
    // Nearly always empty: what names the connection is asked for only when it matters.
    return this.#unsent.size > 0 && !this.mayHold(peer());
  }

  leave(): void {
    this.#active--;
    if (this.#active === 0) for (const idle of this.#onIdle.splice(0)) idle();
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
      if (this.#active === 0) resolve();
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
