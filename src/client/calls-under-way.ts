import { ClientError } from "./client-error.ts";
import { onAbort } from "./on-abort.ts";

/** Calls that are not checks: each ends by its caller's signal, and all of them when the client is closed. */
export class CallsUnderWay {
  readonly #calls = new Set<AbortController>();
  /** Who waits until there are none. */
  readonly #onIdle: (() => void)[] = [];
  #isClosed = false;

  async run<T>(signal: AbortSignal | undefined, call: (signal: AbortSignal) => Promise<T>): Promise<T> {
    if (this.#isClosed) throw new ClientError("CANCELLED", "the client is closed");
    // AbortSignal.any would do, if what it leaves behind at a signal that lives for ever were not kept.
    const controller = new AbortController();
    const abort = () => controller.abort();
    if (signal?.aborted) abort();
    const unlisten = onAbort(signal, abort);
    this.#calls.add(controller);
    try {
      return await call(controller.signal);
    } finally {
      unlisten();
      this.#calls.delete(controller);
      if (this.#calls.size === 0) for (const tell of this.#onIdle.splice(0)) tell();
    }
  }

  /** Takes no more calls. Resolves once those that it has are answered. */
  end(): Promise<void> {
    this.#isClosed = true;
    if (this.#calls.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onIdle.push(resolve));
  }

  close(): void {
    this.#isClosed = true;
    for (const controller of this.#calls) controller.abort();
  }
}
