import { ClientError } from "../client/client-error.ts";
import { pause } from "../client/retry.ts";
import type { CliIo } from "./io.ts";

/** A quota per second is refilled within this time. A quota of total entries is not, and has to be reported to the operator. */
const LONGEST_WAIT_MS = 30_000;
/** Keeps a service that asks for no delay from being called thousands of times a second. */
const SHORTEST_WAIT_MS = 50;
/** Callers may share a quota, and one of them may never get its turn; after this time it gives up. */
const LONGEST_OF_ALL_MS = 10 * 60_000;

/**
 * Retries `call` while the service reports that the caller's quota is spent and when to retry: nothing was stored in that case, and
 * a file longer than the quota still gets through. Throws any other error, and QUOTA_EXCEEDED after ten minutes.
 */
export async function retryQuota<T>(io: CliIo, call: () => Promise<T>): Promise<T> {
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
