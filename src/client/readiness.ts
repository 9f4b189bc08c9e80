import type { Clock } from "../time/clock.ts";
import { clampedToTimer } from "../time/clock.ts";
import type { ReadyOptions } from "./blacklist-client.ts";
import { invalid, invalidAll, timeoutProblem } from "./check-options.ts";
import { ClientError } from "./client-error.ts";
import { callOptionsProblems, namesOf } from "./known-options.ts";
import { onAbort } from "./on-abort.ts";

interface Setup {
  readonly clock: Clock;
  readonly isReady: () => boolean;
  /** Why the client is not ready, if known. */
  readonly lastError: () => ClientError | undefined;
  /** Called when a wait begins. */
  readonly onWaiting: () => void;
}

const NAMES = namesOf<ReadyOptions>({ timeoutMs: true, signal: true });

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

  /** Keeps the process alive while it waits, because the program may have nothing else to do yet. Rejects with a ClientError. */
  async wait(options: ReadyOptions): Promise<void> {
    const problems = callOptionsProblems(options, NAMES);
    if (problems.length > 0) throw invalidAll(problems);
    const { timeoutMs, signal } = options;
    const problem = timeoutMs === undefined ? undefined : timeoutProblem(timeoutMs);
    if (problem !== undefined) throw invalid("timeoutMs", problem);
    if (this.#isClosed) throw closed();
    if (signal?.aborted) throw givenUp();
    const { clock, isReady, lastError, onWaiting } = this.#setup;
    if (isReady()) return;
    const alive = setInterval(() => {}, 2 ** 30);
    let waiter: Waiter | undefined;
    let unlisten: (() => void) | undefined;
    let cancelTimer: (() => void) | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        waiter = { resolve, reject };
        this.#waiters.add(waiter);
        unlisten = onAbort(signal, () => reject(givenUp()));
        if (timeoutMs !== undefined) {
          cancelTimer = clock.schedule(clampedToTimer(timeoutMs), () => reject(late(timeoutMs, lastError())));
        }
        onWaiting();
      });
    } finally {
      clearInterval(alive);
      cancelTimer?.();
      if (waiter !== undefined) this.#waiters.delete(waiter);
      unlisten?.();
    }
  }

  /** Call it whenever the client may have become ready. */
  look(): void {
    if (this.#waiters.size === 0 || !this.#setup.isReady()) return;
    for (const { resolve } of this.#waiters) resolve();
  }

  close(): void {
    this.#isClosed = true;
    for (const { reject } of this.#waiters) reject(closed());
  }
}

function late(timeoutMs: number, cause: ClientError | undefined): ClientError {
  const because = cause === undefined ? "" : `: ${cause.message}`;
  return new ClientError("DEADLINE_EXCEEDED", `the client was not ready within ${timeoutMs} ms${because}`, {
    reason: cause?.reason,
    connection: cause?.connection,
    address: cause?.address,
    detail: cause?.detail,
    cause,
  });
}

function givenUp(): ClientError {
  return new ClientError("CANCELLED", "the wait for the client was given up by its caller");
}

function closed(): ClientError {
  return new ClientError("CANCELLED", "the client is closed");
}
