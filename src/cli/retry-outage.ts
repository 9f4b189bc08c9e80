import { ClientError } from "../client/client-error.ts";
import { pause, remapCancellation } from "../client/retry.ts";
import type { CliIo } from "./io.ts";

/** Longer than a rolling restart leaves an address without a replica, or a failover a database without a primary. */
const LONGEST_OUTAGE_MS = 60_000;
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 2000;

/**
 * Keeps a command of many calls running through an outage: calls that fail as unavailable, overloaded or timed out are retried
 * until no call has been answered for a minute. Only for idempotent calls, and only once one call has been answered: until then the
 * address may simply be wrong.
 */
export class OutageRetry {
  readonly #io: CliIo;
  #answeredAt: number | undefined;

  constructor(io: CliIo) {
    this.#io = io;
  }

  /** Retries `call` until it is answered. Throws its last error. */
  async run<T>(call: () => Promise<T>): Promise<T> {
    const { clock, signal } = this.#io;
    for (let attempt = 1; ; attempt++) {
      try {
        const answer = await call();
        this.#answeredAt = clock.monotonic();
        return answer;
      } catch (error) {
        if (signal.aborted || !mayPass(error) || this.#isOver()) throw error;
        await pause(clock, Math.min(FIRST_PAUSE_MS * 2 ** (attempt - 1), LONGEST_PAUSE_MS), signal);
      }
    }
  }

  #isOver(): boolean {
    if (this.#answeredAt === undefined) return true;
    return this.#io.clock.monotonic() - this.#answeredAt > LONGEST_OUTAGE_MS;
  }
}

function mayPass(error: unknown): boolean {
  if (!(error instanceof ClientError)) return false;
  const { code, reason } = remapCancellation(error, false);
  return code === "UNAVAILABLE" || code === "DEADLINE_EXCEEDED" || reason === "OVERLOADED";
}
