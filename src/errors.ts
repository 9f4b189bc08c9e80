/** Why a call failed, as its caller is told: the `reason` of `google.rpc.ErrorInfo`. Stable; see `docs/errors.md`. */
export type Reason =
  | "INVALID_REQUEST"
  | "UNAUTHENTICATED"
  | "PERMISSION_DENIED"
  | "KEYS_UNAVAILABLE"
  | "QUOTA_EXCEEDED"
  | "STORE_UNAVAILABLE"
  | "NOT_FRESH"
  | "DRAINING"
  | "REVISION_LOST"
  | "OVERLOADED"
  | "UNSUPPORTED_ENCODING"
  | "DEADLINE_EXCEEDED"
  | "CANCELLED"
  | "INTERNAL";

/** One thing wrong with a request. */
export interface Violation {
  /** Path of the field in the request's protobuf names, e.g. `tokens[3].expires_at`. */
  readonly field: string;
  /** What it must be. Never repeats the value. */
  readonly description: string;
}

/**
 * A failure that a caller may be told about. `message` reaches the caller: it holds no SQL, host, path or token.
 * `cause` is for the log alone.
 */
export class ServiceError extends Error {
  readonly reason: Reason;
  readonly violations: readonly Violation[];
  /** When a repetition makes sense; absent where the reason alone says it. */
  readonly retryAfterMs: number | undefined;

  constructor(
    reason: Reason,
    message: string,
    options: { cause?: unknown; violations?: readonly Violation[]; retryAfterMs?: number } = {},
  ) {
    super(message, { cause: options.cause });
    this.name = "ServiceError";
    this.reason = reason;
    this.violations = options.violations ?? [];
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** The request itself is wrong; every violation at once. */
export function invalidRequest(violations: readonly Violation[]): ServiceError {
  const text = violations.map(({ field, description }) => `${field}: ${description}`).join("; ");
  // A batch of 1000 wrong tokens must not fill the trailers: the details keep the list, the message its beginning.
  const message = text.length > 500 ? `${text.slice(0, 500)}...` : text;
  return new ServiceError("INVALID_REQUEST", message, { violations });
}

/** Who calls is not known, or not any more. `message` says what is missing or wrong, and nothing of the credential. */
export function unauthenticated(message: string): ServiceError {
  return new ServiceError("UNAUTHENTICATED", message);
}

/**
 * The keys that would tell whether a token is genuine cannot be had now: the token may be. `because` goes on from that, and names no
 * address, file or token. `retryAfterMs` is when they are read again; absent: soon.
 */
export function keysUnavailable({
  because,
  retryAfterMs,
}: {
  because?: string | undefined;
  retryAfterMs?: number;
} = {}): ServiceError {
  const message = "the keys that tokens are verified with cannot be had";
  return new ServiceError("KEYS_UNAVAILABLE", because === undefined ? message : `${message}: ${because}`, {
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
}

/** The database did not answer, or may not be believed. What a write did is then unknown. */
export function storeUnavailable(message: string, cause?: unknown): ServiceError {
  return new ServiceError("STORE_UNAVAILABLE", message, { cause });
}

/** What stands at the database's address has another generation. */
export function anotherDatabase(): ServiceError {
  return storeUnavailable("the database is not the one that this service was started on");
}

/** The schema is not one that this version may use. Nothing but an operator mends it. */
export class SchemaError extends Error {
  override readonly name = "SchemaError";
}

/** The service cannot start, for a reason that its operator can mend: one line, no stack. */
export class StartError extends Error {
  override readonly name = "StartError";
}
