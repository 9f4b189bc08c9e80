import type { status } from "@grpc/grpc-js";
import type { Violation } from "../errors.ts";

/** The name of a gRPC status, such as `UNAVAILABLE`. */
export type StatusName = keyof typeof status;

/**
 * Why there is no connection. `refused`: no process listens at the address. `unknown-host`: the host name has no address.
 * `unreachable`: no route to the address, or no answer from it. `certificate`: one side rejects the other's certificate. `not-tls`:
 * the server at the address does not speak TLS. `hung-up`: the server closed the connection while it was being established. `lost`:
 * an established connection broke during the call.
 */
export type ConnectionFailure =
  | "refused"
  | "unknown-host"
  | "unreachable"
  | "certificate"
  | "not-tls"
  | "hung-up"
  | "lost";

export interface ClientErrorDetails {
  /**
   * The stable `reason` of the service's `google.rpc.ErrorInfo`, or `MALFORMED_ANSWER` if the client rejected an answer. Absent if
   * no service answered: errors of the gRPC library have no reason.
   */
  readonly reason?: string | undefined;
  /**
   * Everything wrong with the call. `field` is the path of the argument (`tokens[3].expiresAt`); if the service has found the violation, it
   * has the contract's names (`tokens[3].expires_at`).
   */
  readonly violations?: readonly Violation[] | undefined;
  /** How many milliseconds the service asks to wait before a retry. */
  readonly retryAfterMs?: number | undefined;
  /** Why there is no connection, if known. */
  readonly connection?: ConnectionFailure | undefined;
  /** The address given to `connect()`; several are joined by `, `. */
  readonly address?: string | undefined;
  /** The text of the gRPC library, or of a proxy. */
  readonly detail?: string | undefined;
  readonly cause?: unknown;
}

/** Sets the address of an error that has none, and returns the error. Not a method, because users of the library must not see it. */
export let setAddress: (error: ClientError, address: string) => ClientError;

/** Fields of violations that mean that a token is invalid or cannot be revoked: `jti`, `jtis[3]`, `tokens[0].jwt`. */
const TOKEN_FIELD = /^(jti|jtis\[\d+\]|tokens\[\d+\]\.(jti|jwt))$/;

/**
 * A call without a reliable answer: a gateway must not let the token pass. After DEADLINE_EXCEEDED, CANCELLED, UNAVAILABLE or
 * INTERNAL it is unknown whether a `blacklist` was stored; calling again is safe.
 *
 * `message`, and everything else that `JSON.stringify` shows, contains no address, host, path, jti or token, so a gateway may pass
 * it on.
 */
export class ClientError extends Error {
  override readonly name = "ClientError";
  readonly code: StatusName;
  readonly reason: string | undefined;
  readonly violations: readonly Violation[];
  readonly retryAfterMs: number | undefined;
  /** Why there is no connection to the service; undefined for every other error, and if unknown. */
  readonly connection: ConnectionFailure | undefined;
  #address: string | undefined;
  readonly #detail: string | undefined;

  static {
    setAddress = (error, address) => {
      error.#address ??= address;
      return error;
    };
  }

  constructor(code: StatusName, message: string, details: ClientErrorDetails = {}) {
    super(message, { cause: details.cause });
    this.code = code;
    this.reason = details.reason;
    this.violations = details.violations ?? [];
    this.retryAfterMs = details.retryAfterMs;
    this.connection = details.connection;
    this.#address = details.address;
    this.#detail = details.detail;
  }

  /** The address given to `connect()`, if the call got that far. For logs: `JSON.stringify` omits it. */
  get address(): string | undefined {
    return this.#address;
  }

  /**
   * The text of the gRPC library or of a proxy; undefined if the error is from the service or this client. For logs: it may contain
   * addresses, and `JSON.stringify` omits it.
   */
  get detail(): string | undefined {
    return this.#detail;
  }

  /**
   * The HTTP status for a gateway's response. 401: no issuer can have issued the token (INVALID_ARGUMENT for a jti or jwt).
   * 500: the gateway passed other invalid arguments (any other INVALID_ARGUMENT). 503: it is unknown whether the token is revoked,
   * which is no reason to end a session. Express, Fastify, Koa and NestJS read this property.
   */
  get statusCode(): 401 | 500 | 503 {
    if (this.code !== "INVALID_ARGUMENT") return 503;
    const { violations } = this;
    return violations.length > 0 && violations.every(({ field }) => TOKEN_FIELD.test(field)) ? 401 : 500;
  }

  /** Same as {@link statusCode}, under the name that some frameworks and many handlers read. */
  get status(): 401 | 500 | 503 {
    return this.statusCode;
  }

  /** Whether frameworks may show `message` to their callers: true if it is about the token they sent. */
  get expose(): boolean {
    return this.statusCode === 401;
  }
}

/** The error of an OK response that violates the contract. */
export function malformedAnswer(message: string): ClientError {
  return new ClientError("INTERNAL", message, { reason: "MALFORMED_ANSWER" });
}

/** A `ClientError` is returned as it is; any other error becomes the cause of an INTERNAL `ClientError`. */
export function asClientError(error: unknown): ClientError {
  return error instanceof ClientError
    ? error
    : new ClientError("INTERNAL", "the client failed", { cause: error });
}

/** The result of `work`; undefined if it throws. */
export function ignoringErrors<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}

/** The error of a call that the client ends, or does not begin, because it was closed. */
export function clientClosed(): ClientError {
  return new ClientError("CANCELLED", "the client is closed");
}

/** The error of a call or check whose caller has aborted its signal. */
export function aborted(what: "call" | "check" | "wait for the client"): ClientError {
  return new ClientError("CANCELLED", `the ${what} was aborted by its caller`);
}

/** The error of a check that the service answered with UNKNOWN: the error that it sends if such a token is checked alone. */
export function notFresh(): ClientError {
  return new ClientError("UNAVAILABLE", "the service cannot tell just now", { reason: "NOT_FRESH" });
}
