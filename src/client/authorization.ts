import { Metadata } from "@grpc/grpc-js";
import { ClientError } from "./client-error.ts";
import { onAbort } from "./on-abort.ts";

/** A bearer token, or what hands out the current one: it is asked before every call, so that tokens may be renewed. */
export type Token = string | (() => string | Promise<string>);

/**
 * The metadata that says who makes a call. Rejects with a {@link ClientError}: where there is no token, and where it
 * takes longer to get one than the call may.
 */
export type Authorization = (limits: Limits) => Promise<Metadata>;

interface Limits {
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
}

/** A token as RFC 6750 has it. Throws a {@link ClientError} at text that can never be one. */
export function bearer(token: Token): Authorization {
  if (typeof token === "string") refuseUnsendable(token, "INVALID_ARGUMENT");
  return async (limits) => {
    const text = typeof token === "string" ? token : await current(token, limits);
    const metadata = new Metadata();
    metadata.set("authorization", `Bearer ${text}`);
    return metadata;
  };
}

/** What keeps `token` from being sent, said without repeating it. */
export function tokenProblem(token: string): string | undefined {
  return /^[A-Za-z0-9._~+/-]+=*$/.test(token)
    ? undefined
    : "must be a bearer token alone: no spaces, no quotes, no word before it";
}

// grpc-js would refuse it too, and quote it.
function refuseUnsendable(token: string, code: "INVALID_ARGUMENT" | "UNAUTHENTICATED"): void {
  const problem = tokenProblem(token);
  if (problem !== undefined) throw new ClientError(code, `the caller's token ${problem}`);
}

async function current(token: () => string | Promise<string>, limits: Limits): Promise<string> {
  let text: string;
  try {
    const given = token();
    text = typeof given === "string" ? given : await inTime(given, limits);
  } catch (cause) {
    if (cause instanceof ClientError) throw cause;
    throw new ClientError("UNAUTHENTICATED", "there is no token to call with", { cause });
  }
  refuseUnsendable(text, "UNAUTHENTICATED");
  return text;
}

function inTime<T>(work: Promise<T>, { timeoutMs, signal }: Limits): Promise<T> {
  return new Promise((resolve, reject) => {
    const giveUp = () => reject(new ClientError("CANCELLED", "the call was given up before it was sent"));
    if (signal?.aborted) giveUp();
    const timer = setTimeout(() => {
      reject(new ClientError("DEADLINE_EXCEEDED", `no token to call with within ${timeoutMs} ms`));
    }, timeoutMs);
    const unlisten = onAbort(signal, giveUp);
    work.then(resolve, reject).finally(() => {
      clearTimeout(timer);
      unlisten();
    });
  });
}
