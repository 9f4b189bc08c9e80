import { type Clock, clampedToTimer } from "../time/clock.ts";
import type { CallOptions } from "./blacklist-client.ts";
import type { MetadataProvider } from "./call-metadata.ts";
import { ClientError, clientClosed } from "./client-error.ts";
import { onAbort } from "./on-abort.ts";
import { invalidArgument, timeoutProblem } from "./option-problems.ts";
import { pause, remapCancellation, retryDelay } from "./retry.ts";
import type { AttemptOptions } from "./rpc-client.ts";
import type { ClientMetrics } from "./telemetry.ts";

interface Setup {
  /** The timeout in milliseconds of calls that set none. */
  readonly timeoutMs: number;
  readonly metadata: MetadataProvider | undefined;
  readonly metrics: ClientMetrics;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

type Attempt = AttemptOptions & { readonly signal: AbortSignal };

/** Calls in flight that are not checks: each is aborted by its caller's signal, and all of them when the client is closed. */
export class InFlightCalls {
  readonly #setup: Setup;
  readonly #calls = new Map<AbortController, Promise<unknown>>();
  #isClosed = false;

  constructor(setup: Setup) {
    this.#setup = setup;
  }

  /** Makes a call once. Throws a ClientError for an invalid timeout. */
  async run<T>(options: CallOptions, call: (attempt: Attempt) => Promise<T>): Promise<T> {
    const { signal, timeoutMs = this.#setup.timeoutMs } = options;
    const problem = timeoutProblem(timeoutMs);
    if (problem !== undefined) throw invalidArgument("timeoutMs", problem);
    const metadata = this.#setup.metadata?.();
    if (this.#isClosed) throw clientClosed();
    // AbortSignal.any would leave a record at a long-lived signal for every call.
    const controller = new AbortController();
    const abort = () => controller.abort();
    if (signal?.aborted) abort();
    const unlisten = onAbort(signal, abort);
    const result = call({ timeoutMs: clampedToTimer(timeoutMs), signal: controller.signal, metadata });
    this.#calls.set(controller, result);
    try {
      return await result;
    } finally {
      unlisten();
      this.#calls.delete(controller);
    }
  }

  /** Repeats a call until it succeeds, fails permanently, or runs out of time. Only for idempotent calls. */
  runWithRetries<T>(options: CallOptions, call: (attempt: Attempt) => Promise<T>): Promise<T> {
    const { clock, random, metrics } = this.#setup;
    return this.run(options, async ({ timeoutMs, signal, metadata }) => {
      const giveUpAt = clock.monotonic() + timeoutMs;
      for (let attempt = 1; ; attempt++) {
        try {
          return await call({ timeoutMs: Math.max(1, giveUpAt - clock.monotonic()), signal, metadata });
        } catch (cause) {
          if (!(cause instanceof ClientError)) throw cause;
          const error = remapCancellation(cause, { cancelledByClient: signal.aborted });
          const waitMs = retryDelay(error, { attempt, random });
          if (waitMs === undefined || clock.monotonic() + waitMs >= giveUpAt) throw error;
          metrics.retried?.({ code: error.code, waitMs });
          await pause(clock, waitMs, signal);
        }
      }
    });
  }

  /** Accepts no more calls. Resolves once the calls in flight have ended. */
  async end(): Promise<void> {
    this.#isClosed = true;
    await Promise.allSettled(this.#calls.values());
  }

  close(): void {
    this.#isClosed = true;
    for (const controller of this.#calls.keys()) controller.abort();
  }
}
