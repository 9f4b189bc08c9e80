import { type Clock, clampedToTimer } from "../time/clock.ts";
import type { ReadyOptions } from "./blacklist-client.ts";
import { aborted, ClientError, clientClosed } from "./client-error.ts";
import { onAbort } from "./on-abort.ts";
import { expectOptions, expectValid, namesOf, timeoutProblem } from "./option-problems.ts";

interface Setup {
  readonly clock: Clock;
  readonly isReady: () => boolean;
  /** Why the client is not ready, if known. */
  readonly lastError: () => ClientError | undefined;
  /** Called when a wait begins. */
  readonly onWaiting: () => void;
}

const OPTIONS = namesOf<ReadyOptions>({ timeoutMs: true, signal: true });

interface Waiter {
  resolve(): void;
  reject(error: ClientError): void;
}

/** Pending calls of `ready()`. */
export class Readiness {
  readonly #setup: Setup;
  readonly #waiters = new Set<Waiter>();
  #isClosed = false;

  constructor(setup: Setup) {
    this.#setup = setup;
  }

  get isAwaited(): boolean {
    return this.#waiters.size > 0;
  }

  /** Resolves once the client is ready. Keeps the process alive meanwhile: the program may have nothing else to do yet. Rejects with a ClientError. */
  async wait(options: ReadyOptions): Promise<void> {
    expectOptions(options, OPTIONS);
    const { timeoutMs, signal } = options;
    expectValid({ timeoutMs: timeoutProblem(timeoutMs) });
    if (this.#isClosed) throw clientClosed();
    if (signal?.aborted) throw aborted("wait for the client");
    const { clock, isReady, lastError, onWaiting } = this.#setup;
    if (isReady()) return;
    const keepAlive = setInterval(() => {}, 2 ** 30);
    const cleanUp = [() => clearInterval(keepAlive)];
    try {
      await new Promise<void>((resolve, reject) => {
        const waiter = { resolve, reject };
        this.#waiters.add(waiter);
        cleanUp.push(
          () => this.#waiters.delete(waiter),
          onAbort(signal, () => reject(aborted("wait for the client"))),
        );
        if (timeoutMs !== undefined) {
          const expire = () => reject(notReadyInTime(timeoutMs, lastError()));
          cleanUp.push(clock.schedule(clampedToTimer(timeoutMs), expire));
        }
        onWaiting();
      });
    } finally {
      for (const undo of cleanUp) undo();
    }
  }

  /** Resolves all pending calls if the client is ready. Call it whenever the client may have become ready. */
  recheck(): void {
    if (this.#waiters.size === 0 || !this.#setup.isReady()) return;
    for (const { resolve } of this.#waiters) resolve();
  }

  close(): void {
    this.#isClosed = true;
    for (const { reject } of this.#waiters) reject(clientClosed());
  }
}

function notReadyInTime(timeoutMs: number, cause: ClientError | undefined): ClientError {
  const { reason, connection, address, detail } = cause ?? {};
  const because = cause === undefined ? "" : `: ${cause.message}`;
  const message = `the client was not ready within ${timeoutMs} ms${because}`;
  return new ClientError("DEADLINE_EXCEEDED", message, { reason, connection, address, detail, cause });
}
