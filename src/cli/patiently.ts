import { ClientError } from "../client/client-error.ts";
import { pause } from "../client/retry.ts";
import type { CliIo } from "./io.ts";

/** A quota of tokens a second is soon refilled. One of tokens in all is not: the operator has to know. */
const LONGEST_WAIT_MS = 30_000;

/**
 * Repeats `call` while the service says that the caller's quota is spent and when to come again: nothing was stored then, and a
 * file that is longer than the quota still gets through. Throws what else goes wrong.
 */
export async function patiently<T>(io: CliIo, call: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      const wait = waitAsked(error);
      if (wait === undefined || io.signal.aborted) throw error;
      await pause(io.clock, wait, io.signal);
    }
  }
}

function waitAsked(error: unknown): number | undefined {
  if (!(error instanceof ClientError) || error.reason !== "QUOTA_EXCEEDED") return undefined;
  const { retryAfterMs } = error;
  return retryAfterMs !== undefined && retryAfterMs <= LONGEST_WAIT_MS ? retryAfterMs : undefined;
}
