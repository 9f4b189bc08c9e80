import type { ClientError } from "./client-error.ts";

/** The freshness of an answer; without either field: fully fresh. Never both. */
export interface Freshness {
  /** Milliseconds, an integer of at least 1. */
  readonly maxStalenessMs?: number | undefined;
  readonly atLeastRevision?: string | undefined;
}

/** One check of one token, and the promise that it settles. */
export interface Check {
  readonly jti: string;
  readonly freshness: Freshness;
  /** When the caller's timeout ends, by the monotonic clock. */
  readonly deadline: number;
  /** The token's expiry in milliseconds since 1970, if the caller knows it. */
  readonly expiresAt: number | undefined;
  /** Whether it fails at once while the service answers no checks. */
  readonly failFast: boolean;
  /** The group in which it waits; set by the group. */
  group: Abandonable | undefined;
  /** Whether it has been answered, has failed or was abandoned. A check is settled once. */
  readonly isSettled: boolean;
  answer(isBlacklisted: boolean, source: "copy" | "service"): void;
  fail(error: ClientError): void;
}

/** A group in which a check waits. */
export interface Abandonable {
  /** Called when the deadline or signal of its caller has settled `check`. */
  abandoned(check: Check): void;
}
