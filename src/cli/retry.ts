import { ClientError } from "../client/client-error.ts";
import { pause, remapCancellation } from "../client/retry.ts";
import type { CliIo } from "./io.ts";

/** The longest outage that a command survives. Rolling restarts and failovers of the database take less. */
const MAX_OUTAGE_MS = 60_000;
const FIRST_PAUSE_MS = 50;
const MAX_PAUSE_MS = 2000;

/**
 * Keeps a command of many calls running through an outage: calls that fail as unavailable, overloaded or timed out are retried
 * until no call has been answered for a minute. Only for idempotent calls. Before the first answer nothing is retried: the
 * address may simply be wrong.
 */
export class OutageRetry {
  readonly #io: CliIo;
  /** By the monotonic clock. */
  #lastAnswerAt = Number.NEGATIVE_INFINITY;

  constructor(io: CliIo) {
    this.#io = io;
  }

  /** Retries `call` until it is answered. Throws its last error. */
  async run<T>(call: () => Promise<T>): Promise<T> {
    const { clock, signal } = this.#io;
    for (let attempt = 1; ; attempt++) {
      try {
        const answer = await call();
        this.#lastAnswerAt = clock.monotonic();
        return answer;
      } catch (error) {
        const isOver = clock.monotonic() - this.#lastAnswerAt > MAX_OUTAGE_MS;
        if (signal.aborted || !isTransient(error) || isOver) throw error;
        await pause(clock, Math.min(FIRST_PAUSE_MS * 2 ** (attempt - 1), MAX_PAUSE_MS), signal);
      }
    }
  }
}

/** Whether a retry may succeed once the outage is over. */
function isTransient(error: unknown): boolean {
  if (!(error instanceof ClientError)) return false;
  // The command aborts no calls except by `signal`, which has been checked: CANCELLED means that the service or a proxy aborted the call.
  const { code, reason } = remapCancellation(error, { cancelledByClient: false });
  return code === "UNAVAILABLE" || code === "DEADLINE_EXCEEDED" || reason === "OVERLOADED";
}

/** A quota per second is refilled within this time; a quota of total entries is not, and is reported to the operator. */
const MAX_WAIT_MS = 30_000;
/** Keeps a service that asks for no delay from being called thousands of times a second. */
const MIN_WAIT_MS = 50;
/** Other processes of the same caller may use up the quota repeatedly. */
const GIVE_UP_AFTER_MS = 10 * 60_000;

/**
 * Retries `call` while the caller's quota is spent and the service asks for a wait of at most MAX_WAIT_MS. A call refused by the quota
 * has stored nothing, so it can be repeated, and a file with more tokens than the quota can be imported. Throws any other error, and gives
 * up after ten minutes.
 */
export async function retryQuota<T>(io: CliIo, call: () => Promise<T>): Promise<T> {
  const giveUpAt = io.clock.monotonic() + GIVE_UP_AFTER_MS;
  for (;;) {
    try {
      return await call();
    } catch (error) {
      const wait = requestedWaitMs(error);
      if (wait === undefined || io.signal.aborted || io.clock.monotonic() >= giveUpAt) throw error;
      await pause(io.clock, wait, io.signal);
    }
  }
}

/** Undefined if retrying does not help within {@link MAX_WAIT_MS}. */
function requestedWaitMs(error: unknown): number | undefined {
  if (!(error instanceof ClientError) || error.reason !== "QUOTA_EXCEEDED") return undefined;
  const { retryAfterMs } = error;
  if (retryAfterMs === undefined || !(retryAfterMs <= MAX_WAIT_MS)) return undefined;
  return Math.max(MIN_WAIT_MS, retryAfterMs);
}
