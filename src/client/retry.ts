import { MAX_CALL_ATTEMPTS } from "../limits.ts";
import type { Clock } from "../time/clock.ts";
import { ClientError } from "./client-error.ts";
import { onAbort } from "./on-abort.ts";

/** The longest delay before the second attempt at a call. It doubles with each attempt, up to the maximum. A delay requested by the service is added. */
const FIRST_RETRY_DELAY_MS = 25;
const MAX_RETRY_DELAY_MS = 500;

/**
 * The delay in milliseconds after attempt `attempt` (from 1) failed with `error`; undefined: do not retry. Up to half of the client's own
 * delay is random, so that clients that failed together do not retry together.
 */
export function retryDelay(
  error: ClientError,
  { attempt, random }: { attempt: number; random: () => number },
): number | undefined {
  if (attempt >= MAX_CALL_ATTEMPTS || !isTransient(error)) return undefined;
  const longestMs = Math.min(FIRST_RETRY_DELAY_MS * 2 ** (attempt - 1), MAX_RETRY_DELAY_MS);
  const jittered = longestMs / 2 + (random() * longestMs) / 2;
  return (error.retryAfterMs ?? 0) + jittered;
}

function isTransient({ code, reason }: ClientError): boolean {
  return code === "UNAVAILABLE" || (code === "RESOURCE_EXHAUSTED" && reason === "OVERLOADED");
}

/**
 * Converts errors of calls that the service or a proxy aborted into UNAVAILABLE, which may be retried. gRPC reports them as CANCELLED,
 * or as INTERNAL if the response ends without a status. A proxy sends such a response when the server behind it is killed. If this client
 * has cancelled the call, the error is returned as it is.
 */
export function remapCancellation(
  error: ClientError,
  { cancelledByClient }: { cancelledByClient: boolean },
): ClientError {
  const isCutShort = error.code === "INTERNAL" && error.connection === "lost";
  if (cancelledByClient || !(error.code === "CANCELLED" || isCutShort)) return error;
  const { reason, connection = "lost", detail } = error;
  const message = "the token blacklist or a proxy aborted the call";
  return new ClientError("UNAVAILABLE", message, { reason, connection, detail, cause: error });
}

/** Resolves after `ms`, or when `signal` is aborted. Keeps the process alive. */
export function pause(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    // The clock's timers do not keep the process alive, but a caller awaits the retry.
    const keepAlive = setInterval(() => {}, 2 ** 30);
    const end = () => {
      cancel();
      clearInterval(keepAlive);
      unlisten();
      resolve();
    };
    const cancel = clock.schedule(ms, end);
    const unlisten = onAbort(signal, end);
    if (signal?.aborted) end();
  });
}
