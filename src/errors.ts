/** Why a call failed: the `reason` of `google.rpc.ErrorInfo`. Stable; see `docs/errors.md`. */
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

/** Why a field is refused: the `reason` of `google.rpc.BadRequest.FieldViolation`. Stable; see `docs/errors.md`. */
export type ViolationReason =
  /** The expiry has passed, leeway included. */
  | "EXPIRY_PASSED"
  /** A raw token in place of a jti. */
  | "RAW_TOKEN";

/** One problem of a request. */
export interface Violation {
  /** Path of the field in the request's protobuf names, e.g. `tokens[3].expires_at`. */
  readonly field: string;
  /** The requirement, for people. Never repeats the value. */
  readonly description: string;
  /** Absent: the description alone says what is wrong. A newer service may have further reasons. */
  readonly reason?: ViolationReason | (string & {}) | undefined;
}

/** A failure that is reported to the caller. `message` contains no SQL, host, path or token. `cause` is only logged. */
export class ServiceError extends Error {
  readonly reason: Reason;
  readonly violations: readonly Violation[];
  /** Milliseconds after which a retry may succeed. Absent: the default of the reason. */
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

/** The request is invalid. Reports all violations at once. */
export function invalidRequest(violations: readonly Violation[]): ServiceError {
  const text = violations.map(({ field, description }) => `${field}: ${description}`).join("; ");
  // The message of 1000 invalid tokens must not fill the trailers; the details have more of them.
  const message = text.length > 500 ? `${text.slice(0, 500)}...` : text;
  return new ServiceError("INVALID_REQUEST", message, { violations });
}

/** The caller is not authenticated, or is no longer authenticated. `message` contains nothing of the credential. */
export function unauthenticated(message: string): ServiceError {
  return new ServiceError("UNAUTHENTICATED", message);
}

/**
 * The keys to verify a token with are unavailable, so the token may be valid. `detail` is appended to the message, and names no address,
 * file or token. `retryAfterMs` is the time until the keys are read again.
 */
export function keysUnavailable(
  options: { detail?: string | undefined; retryAfterMs?: number } = {},
): ServiceError {
  const { detail, ...retry } = options;
  const message = "the keys to verify tokens are unavailable";
  return new ServiceError(
    "KEYS_UNAVAILABLE",
    detail === undefined ? message : `${message}: ${detail}`,
    retry,
  );
}

/** The database did not respond, or cannot be trusted. The outcome of a write is then unknown. */
export function storeUnavailable(message: string, cause?: unknown): ServiceError {
  return new ServiceError("STORE_UNAVAILABLE", message, { cause });
}

/** Whether `error` is a {@link storeUnavailable}. */
export function isUnavailable(error: unknown): boolean {
  return error instanceof ServiceError && error.reason === "STORE_UNAVAILABLE";
}

/** The database at the configured address has another generation. */
export function anotherDatabase(): ServiceError {
  return storeUnavailable("the database is not the one that this service was started on");
}

/** This version cannot use the schema. Only an operator can correct that. */
export class SchemaError extends Error {
  override readonly name = "SchemaError";
}

/** The code of an error of the file system or of OpenSSL, else its message. Neither repeats the content of a file. */
export function codeOrMessage(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code ?? message;
}

/** The service cannot start, for a reason that an operator can correct. */
export class StartError extends Error {
  override readonly name = "StartError";
}
