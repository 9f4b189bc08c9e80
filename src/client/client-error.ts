import type { Violation } from "../errors.ts";
import type { ConnectionFailure } from "./connection-failure.ts";
import type { StatusName } from "./status-name.ts";

export type { StatusName };

export interface ClientErrorDetails {
  /**
   * The stable `reason` of the service's `google.rpc.ErrorInfo`, or `MALFORMED_ANSWER` where the client itself
   * refused an answer. Absent where no service answered: the gRPC library's own errors carry none.
   */
  readonly reason?: string | undefined;
  /**
   * Everything wrong with the call, by the path of what it was given (`tokens[3].expiresAt`). What the service found itself is named as
   * in the contract (`tokens[3].expires_at`).
   */
  readonly violations?: readonly Violation[] | undefined;
  /** How long the service asks to wait before the call is repeated. */
  readonly retryAfterMs?: number | undefined;
  /** Why there is no connection, where that is known. */
  readonly connection?: ConnectionFailure | undefined;
  /** The address given to `connect()`; several are joined by `, `. */
  readonly address?: string | undefined;
  /** The text of the gRPC library, or of a proxy. */
  readonly detail?: string | undefined;
  readonly cause?: unknown;
}

/** Sets the address of an error that has none. */
export let locate: (error: ClientError, address: string) => ClientError;

/** Violations that say that a token is none, or none that can be revoked: `jti`, `jtis[3]`, `tokens[0].jwt`. */
const OF_A_TOKEN = /^(jti|jtis\[\d+\]|tokens\[\d+\]\.(jti|jwt))$/;

/**
 * A call that brought no answer to rely on. A gateway lets no token pass after it. After DEADLINE_EXCEEDED,
 * CANCELLED, UNAVAILABLE or INTERNAL it is unknown whether a `blacklist` was stored; repeating it is safe.
 *
 * `message`, and whatever else `JSON.stringify` shows, names no address, host or path, no jti and no token: a gateway may hand it on.
 */
export class ClientError extends Error {
  override readonly name = "ClientError";
  readonly code: StatusName;
  readonly reason: string | undefined;
  readonly violations: readonly Violation[];
  readonly retryAfterMs: number | undefined;
  /** Why there is no connection to the service; undefined for every other error, and where that is not known. */
  readonly connection: ConnectionFailure | undefined;
  #address: string | undefined;
  readonly #detail: string | undefined;

  static {
    locate = (error, address) => {
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

  /** The address that `connect()` was given, where the call got as far as that. For a log: `JSON.stringify` leaves it out. */
  get address(): string | undefined {
    return this.#address;
  }

  /**
   * How the gRPC library, or a proxy, put it; undefined where the service or this client did. For a log: it may name
   * addresses, and `JSON.stringify` leaves it out.
   */
  get detail(): string | undefined {
    return this.#detail;
  }

  /**
   * The HTTP status for a gateway to answer with. 401: the token cannot be one that was issued (INVALID_ARGUMENT that names a jti or a
   * jwt). 500: the gateway called with other arguments that make no sense (any other INVALID_ARGUMENT). 503: it cannot be told
   * whether the token is revoked, which is no reason to throw a session away. Express, Fastify, Koa and NestJS read it by themselves.
   */
  get statusCode(): 401 | 500 | 503 {
    if (this.code !== "INVALID_ARGUMENT") return 503;
    const { violations } = this;
    return violations.length > 0 && violations.every(({ field }) => OF_A_TOKEN.test(field)) ? 401 : 500;
  }

  /** The same as {@link statusCode}: some frameworks and many handlers read this name. */
  get status(): 401 | 500 | 503 {
    return this.statusCode;
  }

  /** Whether frameworks show `message` to their callers: where it is about the token that they sent. */
  get expose(): boolean {
    return this.statusCode === 401;
  }
}

/** The service answered OK with something that the contract rules out. */
export function malformedAnswer(message: string): ClientError {
  return new ClientError("INTERNAL", message, { reason: "MALFORMED_ANSWER" });
}
