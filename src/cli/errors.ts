import { ClientError } from "../client/client-error.ts";
import type { Violation } from "../errors.ts";
import { withoutRawTokens } from "../raw-token.ts";
import { escapeLine } from "../text/terminal-text.ts";

/** Invalid arguments or input of the operator. The message says what is expected. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Numbers above 2 follow sysexits.h; 130 is a shell's exit code for a program ended by Ctrl-C. */
export const EXIT = {
  ok: 0,
  /** `check` has found a blacklisted token, or `migrate check` a schema that this version cannot use. */
  found: 1,
  usage: 2,
  unavailable: 69,
  failed: 70,
  interrupted: 130,
} as const;

export function exitCodeOf(error: unknown): number {
  if (error instanceof UsageError) return EXIT.usage;
  if (!(error instanceof ClientError)) return EXIT.failed;
  if (error.code === "INVALID_ARGUMENT") return EXIT.usage;
  return error.code === "UNAVAILABLE" || error.code === "DEADLINE_EXCEEDED" ? EXIT.unavailable : EXIT.failed;
}

export interface FailedCall {
  readonly address: string;
  readonly timeoutMs: number;
  /** Where the operator named each token of the request, in the request's order; absent: messages name the fields of the request. */
  readonly origins?: readonly string[];
}

/** Lines that say what failed and what to do next. If there are several lines, the first is a summary. */
export function explainError(error: unknown, call: FailedCall): string[] {
  const lines = error instanceof ClientError ? explainCall(error, call) : [messageOf(error)];
  return lines.map((line) => escapeLine(withoutRawTokens(line)));
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Whether the failed call certainly changed nothing; false if `error` is not the error of a call. */
export function certainlyChangedNothing(error: unknown): boolean {
  if (!(error instanceof ClientError)) return false;
  return (
    [
      "INVALID_ARGUMENT",
      "UNAUTHENTICATED",
      "PERMISSION_DENIED",
      "RESOURCE_EXHAUSTED",
      "UNIMPLEMENTED",
    ].includes(error.code) ||
    error.connection === "refused" ||
    error.connection === "unknown-host"
  );
}

function explainCall(error: ClientError, call: FailedCall): string[] {
  const { violations } = error;
  if (violations.length === 0) return [explainStatus(error, call)];
  const each = violations.map((violation) => {
    const { field, description } = violation;
    // No field: it is about the request as a whole, or summarizes omitted violations.
    return field === ""
      ? description
      : `${labelOf(field, call.origins)}: ${description}${rawTokenHint(violation)}`;
  });
  return each.length === 1 ? each : ["the request is invalid:", ...each];
}

function explainStatus(error: ClientError, { address, timeoutMs }: FailedCall): string {
  const { code, reason } = error;
  const message = error.detail ?? error.message;
  const again = error.retryAfterMs ? `try again in ${Math.ceil(error.retryAfterMs / 1000)} s` : "try again";
  switch (code) {
    case "UNAVAILABLE":
      if (reason === undefined) return explainConnection(error, address);
      return `the service at ${address} is unavailable (${reason}): ${message}; ${again}`;
    case "DEADLINE_EXCEEDED":
      return `no response from ${address} within ${timeoutMs / 1000} s: try again, or allow more time with --timeout`;
    case "UNAUTHENTICATED":
      return `the service at ${address} could not authenticate the caller: ${message}; give a token with --token-file, or a certificate with --cert and --key`;
    case "PERMISSION_DENIED":
      return `the service at ${address} does not allow this: ${message}; the token's scope or the certificate's roles must include the role`;
    case "RESOURCE_EXHAUSTED":
      if (reason === "QUOTA_EXCEEDED")
        return `the caller's quota of the service at ${address} is exceeded: ${message}; ${again}`;
      return `the service at ${address} is overloaded (${reason ?? code}): ${message}; ${again}`;
    case "UNIMPLEMENTED":
      return `the server at ${address} does not implement this call (${message}): check --address`;
    case "FAILED_PRECONDITION":
      if (reason !== "REVISION_LOST") return message;
      return `${message}: the database was restored; repeat the revocations made since its backup, and omit --at-least-revision`;
    default:
      return `the call failed (${reason ?? code}): ${message}; see the service's log`;
  }
}

function explainConnection({ connection, detail, message }: ClientError, address: string): string {
  // grpc-js's text, such as "No connection established. Last error: connect ECONNREFUSED 10.0.0.7:50051. Resolution note: ...".
  const cause = /Last error: (.+?)(?: \([^()]*\))?(?:\. Resolution note|$)/.exec(detail ?? "")?.[1];
  switch (connection) {
    case "refused":
      return `nothing listens at ${address}: start the service (token-blacklist serve), or name its address with --address`;
    case "unknown-host":
      return `the host name in ${address} cannot be resolved: check --address`;
    case "certificate":
      return `the certificate of the service at ${address} is not trusted (${cause ?? detail ?? message}): check --cacert and --address`;
    case "not-tls":
      return `the server at ${address} does not use TLS: check --address, or omit --tls, --cacert and --cert`;
    case "hung-up":
      return `the server at ${address} closed the connection: check --address, whether it requires TLS (--tls, --cacert), and whether it accepts your --cert`;
    default:
      return `cannot connect to a service at ${address} (${cause ?? detail ?? message}): check --address, or try again`;
  }
}

/**
 * What a message calls `field`: the origin of the token (where the operator named it), and the name of the field within the token, unless
 * that is jti or jwt. `field` itself if the origin is unknown.
 */
function labelOf(field: string, origins: readonly string[] = []): string {
  const [, index, member] = /^(?:tokens|jtis)\[(\d+)\](?:\.(.+))?$/.exec(field) ?? [];
  const origin = origins[Number(index)];
  if (origin === undefined) return field;
  return member === undefined || member === "jti" || member === "jwt" ? origin : `${origin}: ${member}`;
}

/** What to append to the description of a raw token in a check; empty for every other violation. */
function rawTokenHint({ field, reason }: Violation): string {
  return reason === "RAW_TOKEN" && field.startsWith("jtis[")
    ? ": to check a token by its jti, use check --jwt"
    : "";
}
