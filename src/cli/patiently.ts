import { ClientError } from "../client/client-error.ts";
import { pause } from "../client/retry.ts";
import type { CliIo } from "./io.ts";

/** A quota of tokens a second is soon refilled. One of tokens in all is not: the operator has to know. */
const LONGEST_WAIT_MS = 30_000;
/** A service that says "at once" is not asked thousands of times a second. */
const SHORTEST_WAIT_MS = 50;
/** Callers share a quota, and one may be behind the others; longer than this nobody waits for nothing. */
const LONGEST_OF_ALL_MS = 10 * 60_000;

/**
 * Repeats `call` while the service says that the caller's quota is spent and when to come again: nothing was stored then, and a
 * file that is longer than the quota still gets through. Throws what else goes wrong, and what the service says after ten minutes of that.
 */
export async function patiently<T>(io: CliIo, call: () => Promise<T>): Promise<T> {
  const giveUpAt = io.clock.monotonic() + LONGEST_OF_ALL_MS;
  for (;;) {
    try {
      return await call();
    } catch (error) {
      const wait = waitAsked(error);
      if (wait === undefined || io.signal.aborted || io.clock.monotonic() >= giveUpAt) throw error;
      await pause(io.clock, wait, io.signal);
    }
  }
}

function waitAsked(error: unknown): number | undefined {
  if (!(error instanceof ClientError) || error.reason !== "QUOTA_EXCEEDED") return undefined;
  const { retryAfterMs } = error;
  if (retryAfterMs === undefined || !(retryAfterMs <= LONGEST_WAIT_MS)) return undefined;
  return Math.max(SHORTEST_WAIT_MS, retryAfterMs);
}
