import { Metadata } from "@grpc/grpc-js";
import { aborted, ClientError } from "./client-error.ts";
import { onAbort } from "./on-abort.ts";

/** A bearer token, or a function that returns the current token. The function is called before every call, so that tokens can be renewed. */
export type BearerToken = string | (() => string | Promise<string>);

/**
 * Resolves to the metadata that authenticates a call. Rejects with a {@link ClientError} if there is no token, or if getting the token
 * takes longer than the call's timeout.
 */
export type Authorization = (limits: TokenLimits) => Promise<Metadata>;

interface TokenLimits {
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
}

/** Sends `token` as in RFC 6750. Throws a {@link ClientError} for a string that is not a bearer token. */
export function bearerAuthorization(token: BearerToken): Authorization {
  if (typeof token === "string") rejectInvalidToken(token, "INVALID_ARGUMENT");
  return async (limits) => {
    const text = typeof token === "string" ? token : await currentToken(token, limits);
    const metadata = new Metadata();
    metadata.set("authorization", `Bearer ${text}`);
    return metadata;
  };
}

/** What is wrong with a bearer token, worded to follow its name and without quoting it; undefined if it is valid. */
export function bearerTokenProblem(token: string): string | undefined {
  return /^[A-Za-z0-9._~+/-]+=*$/.test(token)
    ? undefined
    : "must be a bearer token alone: no spaces, no quotes, no word before it";
}

// grpc-js would reject such a token too, but its message would quote the token.
function rejectInvalidToken(token: string, code: "INVALID_ARGUMENT" | "UNAUTHENTICATED"): void {
  const problem = bearerTokenProblem(token);
  if (problem !== undefined) throw new ClientError(code, `the caller's token ${problem}`);
}

async function currentToken(token: () => string | Promise<string>, limits: TokenLimits): Promise<string> {
  let text: string;
  try {
    const given = token();
    text = typeof given === "string" ? given : await withinTimeout(given, limits);
  } catch (cause) {
    if (cause instanceof ClientError) throw cause;
    throw new ClientError("UNAUTHENTICATED", "the function for the caller's token failed", { cause });
  }
  rejectInvalidToken(text, "UNAUTHENTICATED");
  return text;
}

function withinTimeout<T>(work: Promise<T>, { timeoutMs, signal }: TokenLimits): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAborted = () => reject(aborted("call"));
    if (signal?.aborted) onAborted();
    const message = `the function for the caller's token took longer than ${timeoutMs} ms`;
    const timer = setTimeout(() => reject(new ClientError("DEADLINE_EXCEEDED", message)), timeoutMs);
    const unlisten = onAbort(signal, onAborted);
    work.then(resolve, reject).finally(() => {
      clearTimeout(timer);
      unlisten();
    });
  });
}
