import type { ClientError } from "./client-error.ts";

/** How fresh an answer has to be. Neither: fully fresh. Never both. */
export interface Freshness {
  /** Whole milliseconds, at least 1. */
  readonly maxStalenessMs?: number | undefined;
  readonly atLeastRevision?: string | undefined;
}

/** One question about one token, and whoever waits for its answer. */
export interface Check {
  readonly jti: string;
  readonly freshness: Freshness;
  /** When its caller gives up, by the monotonic clock. */
  readonly deadline: number;
  /** When the token itself expires, in milliseconds since 1970, where the caller knows. */
  readonly expiresAt: number | undefined;
  /** Whether it fails at once while the service answers no checks. */
  readonly failFast: boolean;
  /** The group it waits in; set by that. */
  group: Abandonable | undefined;
  /** Whether its caller has an answer, or an error, or has given up. Nothing may be told twice. */
  readonly isSettled: boolean;
  answer(isBlacklisted: boolean, source: "copy" | "service"): void;
  fail(error: ClientError): void;
}

/** What a check waits in. */
export interface Abandonable {
  /** `check` has been settled by its caller's deadline or signal, and waits no more. */
  abandoned(check: Check): void;
}
