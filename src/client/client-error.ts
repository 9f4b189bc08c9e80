import type { status } from "@grpc/grpc-js";
import type { Violation } from "../errors.ts";

/** A gRPC status by its name, such as `UNAVAILABLE`. */
export type StatusName = keyof typeof status;

export interface ClientErrorDetails {
  /**
   * The stable `reason` of the service's `google.rpc.ErrorInfo`, or `MALFORMED_ANSWER` where the client itself
   * refused an answer. Absent where no service answered: the gRPC library's own errors carry none.
   */
  readonly reason?: string | undefined;
  /** Everything wrong with the request, by the path of its field (`tokens[3].expires_at`). */
  readonly violations?: readonly Violation[] | undefined;
  /** How long the service asks to wait before the call is repeated. */
  readonly retryAfterMs?: number | undefined;
  readonly cause?: unknown;
}

/**
 * A call that brought no answer to rely on. A gateway lets no token pass after it. After DEADLINE_EXCEEDED,
 * CANCELLED, UNAVAILABLE or INTERNAL it is unknown whether a `blacklist` was stored; repeating it is safe.
 */
export class ClientError extends Error {
  override readonly name = "ClientError";
  readonly code: StatusName;
  readonly reason: string | undefined;
  readonly violations: readonly Violation[];
  readonly retryAfterMs: number | undefined;

  constructor(code: StatusName, message: string, details: ClientErrorDetails = {}) {
    super(message, { cause: details.cause });
    this.code = code;
    this.reason = details.reason;
    this.violations = details.violations ?? [];
    this.retryAfterMs = details.retryAfterMs;
  }
}

/** The service answered OK with something that the contract rules out. */
export function malformedAnswer(message: string): ClientError {
  return new ClientError("INTERNAL", message, { reason: "MALFORMED_ANSWER" });
}
