import { ClientError } from "./client-error.ts";
import { onAbort } from "./on-abort.ts";

/** Calls in flight that are not checks: each is aborted by its caller's signal, and all of them when the client is closed. */
export class InFlightCalls {
  readonly #calls = new Set<AbortController>();
  /** Resolves the promises of {@link end}. */
  readonly #onIdle: (() => void)[] = [];
  #isClosed = false;

  async run<T>(signal: AbortSignal | undefined, call: (signal: AbortSignal) => Promise<T>): Promise<T> {
    if (this.#isClosed) throw new ClientError("CANCELLED", "the client is closed");
    // AbortSignal.any would leave a record at a long-lived signal for every call.
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

  /** Accepts no more calls. Resolves once the calls in flight have ended. */
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
