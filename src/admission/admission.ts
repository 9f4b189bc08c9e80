import { ServiceError } from "../errors.ts";
import { MAX_UNSENT_BYTES } from "../limits.ts";
import { FairCapacity, type Share } from "./fair-capacity.ts";

/** Maximum number of calls in flight in the whole process. Further calls fail with RESOURCE_EXHAUSTED, so that memory is bounded. */
export const MAX_CALLS = 20_000;
/** Maximum of bytes of large requests in flight in the whole process, as encoded. Decoded requests take somewhat more memory. */
export const MAX_UNANSWERED_BYTES = 64 * 1024 * 1024;

/** A call, by the address of its connection. The address is read only when needed, since it may have to be looked up. */
interface CallSource {
  readonly peer: string;
}

/**
 * Admission of calls. Bounds the calls in flight and the bytes of their requests, in total and per caller, and the bytes of unread answers
 * per connection; and reports when the last call has ended.
 */
export class Admission {
  readonly #capacity = new FairCapacity(MAX_CALLS);
  /** Room for the bytes of large requests. */
  readonly requests = new FairCapacity(MAX_UNANSWERED_BYTES);
  #draining = false;
  /** Bytes of unread answers by peer; only peers that have some. */
  readonly #unread = new Map<string, number>();
  readonly #onIdle: (() => void)[] = [];

  /** The number of calls in flight. */
  get active(): number {
    return this.#capacity.taken;
  }

  /** Admits a call and counts it. Returns the reason if it may not begin now; undefined if it was admitted. */
  enter(call: CallSource): "DRAINING" | "OVERLOADED" | undefined {
    if (this.#draining) return "DRAINING";
    if (this.hasTooManyUnreadAnswers(call) || !this.#capacity.enter()) return "OVERLOADED";
    return undefined;
  }

  /**
   * Attributes an admitted call to its caller, and returns whether the call counts against the caller's limit ("own") or not ("common").
   * Undefined if the caller has too many calls: the call must then leave.
   */
  claim(caller: string): Share | undefined {
    return this.#capacity.claim(caller);
  }

  /** Whether the call's connection has so many bytes of unread answers that its calls are refused. */
  hasTooManyUnreadAnswers(call: CallSource): boolean {
    return this.#unread.size > 0 && !this.mayBuffer(call.peer);
  }

  /** Ends an admitted call. `share` and `caller` are the result and the argument of {@link claim}; absent if there was no claim, or it failed. */
  leave(share: Share = "common", caller = ""): void {
    this.#capacity.giveBack(share, caller);
    if (this.active === 0) for (const idle of this.#onIdle.splice(0)) idle();
  }

  /** False while a connection has so many bytes of unread answers that no further answer is buffered for it. */
  mayBuffer(peer: string): boolean {
    return (this.#unread.get(peer) ?? 0) < MAX_UNSENT_BYTES;
  }

  /** Counts the bytes of an answer as unread. Call the returned function when they have been sent. */
  bufferAnswer(peer: string, bytes: number): () => void {
    this.#unread.set(peer, (this.#unread.get(peer) ?? 0) + bytes);
    return () => {
      const remaining = (this.#unread.get(peer) ?? 0) - bytes;
      if (remaining > 0) this.#unread.set(peer, remaining);
      else this.#unread.delete(peer);
    };
  }

  /** Refuses all new calls from now on. Resolves when the calls in flight have ended. */
  drain(): Promise<void> {
    this.#draining = true;
    return new Promise((resolve) => {
      if (this.active === 0) resolve();
      else this.#onIdle.push(resolve);
    });
  }
}

/** The error for a call that is not admitted. */
export function admissionError(reason: keyof typeof REFUSALS): ServiceError {
  return new ServiceError(reason, REFUSALS[reason]);
}

const REFUSALS = {
  DRAINING: "this replica is shutting down",
  OVERLOADED: "too many calls are in flight, or the client leaves too many responses unread",
} as const;
