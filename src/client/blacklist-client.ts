import type { ClientState } from "./client-state.ts";

/** A time: a `Date`, or milliseconds since 1970. A number below 10^11 is rejected, since it is an `exp` in seconds: multiply it by 1000. */
export type DateInput = Date | number;

/** A client for gateways and auth services. `connect()` creates it; one client per process is enough. */
export interface BlacklistClient {
  /**
   * Whether the token is blacklisted. Unless the options allow staleness, the answer reflects every revocation that any replica of
   * the service had acknowledged before this call.
   *
   * Rejects with a `ClientError` if there is no such answer; let a token pass on `false` only. `onUnavailable` may replace the
   * rejection with an answer, except after INVALID_ARGUMENT (`jti` is not 1 to 255 bytes of well-formed UTF-8 without NUL, or is a
   * raw token; or an option is invalid), FAILED_PRECONDITION (`REVISION_LOST`: the service no longer has `atLeastRevision`), and
   * CANCELLED (`signal`, `close()`).
   */
  isBlacklisted(jti: string, options?: CheckOptions): Promise<boolean>;

  /**
   * Checks any number of jtis as {@link isBlacklisted} does, under one deadline. Resolves to the answers in the order of `jtis`. Rejects
   * as a whole with INVALID_ARGUMENT and every violation (`jtis[3]`) if any jti is malformed, and, if `onUnavailable` is `throw`, with
   * the first error if any jti has no answer. An empty array resolves to an empty array.
   */
  areBlacklisted(jtis: readonly string[], options?: CheckOptions): Promise<boolean[]>;

  /**
   * The answer without a request to the service: `true` for a token known to be blacklisted; `false`, in local mode only, if the
   * copy was proven current within `maxStalenessMs`; otherwise, and for an invalid jti, `undefined`, which must not let a token
   * pass. Never throws.
   */
  peek(jti: string, options?: PeekOptions): boolean | undefined;

  /**
   * Revokes 1 to 1000 tokens, all or none. Once it resolves, the revocation is durable and every fully fresh check at any replica
   * reflects it. Idempotent, and retried automatically while the service is unavailable and time is left.
   *
   * Rejects with a `ClientError`. After INVALID_ARGUMENT and RESOURCE_EXHAUSTED nothing was stored; after any other error it is
   * unknown whether the tokens were stored: call again.
   */
  blacklist(tokens: readonly TokenToRevoke[], options?: CallOptions): Promise<Revoked>;

  /**
   * Iterates over the entries, the most recently revoked first, across all pages. A page is fetched when the loop reaches it;
   * leaving the loop stops fetching. A failure throws a `ClientError` from the iterator.
   */
  list(options?: ListOptions): AsyncIterable<ListedToken>;

  /**
   * Deletes entries whose expiry, leeway and retention have passed. The service also deletes them itself, every hour. Not retried automatically,
   * because the count would not include entries deleted by a call whose answer was lost; calling again is safe.
   */
  prune(options?: PruneOptions): Promise<Pruned>;

  /**
   * Resolves once checks can be answered: the service has answered a check, and in local mode the copy is complete and proven.
   * Resolves at once if that is the case already. Waits for a service that is not available yet, and keeps the process alive
   * meanwhile. Rejects with a `ClientError`: INVALID_ARGUMENT for invalid options, DEADLINE_EXCEEDED after `timeoutMs`, with the
   * last failure as its `cause`, and CANCELLED by `signal` or `close()`.
   */
  ready(options?: ReadyOptions): Promise<void>;

  /** Connection state; informational only. Make checks whatever the state is. */
  readonly state: ClientState;
  /**
   * Calls `listener` with each new {@link state}. "state" is the only event: `on`, `once` and `off` throw a TypeError for any other
   * name, and if `listener` is not a function. An error thrown by `listener` is logged and otherwise ignored.
   */
  on(event: "state", listener: (state: ClientState) => void): this;
  /** Calls `listener` once, with the next new {@link state}. */
  once(event: "state", listener: (state: ClientState) => void): this;
  /** Removes `listener`, added by `on` or `once`. */
  off(event: "state", listener: (state: ClientState) => void): this;

  /** Closes all connections. Pending checks reject with CANCELLED, and so do later calls. May be called twice. */
  close(): void;
  /** Same as {@link close}, for `using`. */
  [Symbol.dispose](): void;
  /** For `await using`: accepts no more calls, waits until pending calls are settled, and closes. */
  [Symbol.asyncDispose](): Promise<void>;
}

export interface ReadyOptions {
  /** Timeout in milliseconds; absent: no limit. */
  readonly timeoutMs?: number | undefined;
  /** Aborting it rejects with CANCELLED. */
  readonly signal?: AbortSignal | undefined;
}

export interface CallOptions {
  /**
   * Deadline in milliseconds, retries included. Absent: the value given to `connect()`, else 2 seconds for checks and 10 seconds
   * for other calls.
   */
  readonly timeoutMs?: number | undefined;
  /** Aborting it rejects with CANCELLED. */
  readonly signal?: AbortSignal | undefined;
}

/** At most one of `maxStalenessMs` and `atLeastRevision` may be given. */
export interface CheckOptions extends CallOptions {
  /** How old, in milliseconds, the state may be that `false` relies on. 0 or absent: fully fresh. */
  readonly maxStalenessMs?: number | undefined;
  /** `false` may rely on any state that includes this revision, which {@link BlacklistClient.blacklist} has returned. */
  readonly atLeastRevision?: string | undefined;
  /** Whether to reject at once while the service answers no checks. Absent: the value given to `connect()`. */
  readonly failFast?: boolean | undefined;
  /** The token's expiry: a positive answer is remembered until then, instead of for a minute. */
  readonly expiresAt?: DateInput | undefined;
}

export interface PeekOptions {
  /** How old, in milliseconds, the state may be that `false` relies on. 0 or absent: only positives are returned. */
  readonly maxStalenessMs?: number | undefined;
}

/**
 * A token to revoke: by its jti, which the caller vouches for, or as a raw token, which the service verifies
 * if its `TOKEN_ISSUERS` names the issuer.
 */
export type TokenToRevoke =
  | {
      /** The token's `jti` claim. A raw token is rejected. */
      readonly jti: string;
      /** The token's `exp`. */
      readonly expiresAt: DateInput;
      /** The reason, for later investigation: at most 512 bytes of UTF-8. */
      readonly reason?: string | undefined;
      readonly jwt?: undefined;
    }
  | {
      /** The encoded token, at most 16 KiB: an access, refresh or ID token. Neither stored nor logged. */
      readonly jwt: string;
      /** The reason, for later investigation: at most 512 bytes of UTF-8. */
      readonly reason?: string | undefined;
      readonly jti?: undefined;
      readonly expiresAt?: undefined;
    };

export interface Revoked {
  /** A revision that includes these revocations. A gateway that is given it as `atLeastRevision` sees them. */
  readonly revision: string;
  /** One result per token, in the order of the tokens. */
  readonly results: readonly RevocationResult[];
}

/**
 * All four mean success. `created`: this call revoked the token; no concurrent call gets this outcome for it.
 * `already-blacklisted`: nothing changed. `extended`: the entry now has the later expiry that was given. `already-expired`: the `jwt` had
 * expired, so nothing was stored.
 */
export type RevocationOutcome = "created" | "already-blacklisted" | "extended" | "already-expired";

/** The entry as it is now stored. For `already-expired`, where nothing is stored, only the jti and expiry of the token. */
export interface RevocationResult extends ListedToken {
  readonly outcome: RevocationOutcome;
}

/** An entry of the blacklist. */
export interface ListedToken {
  readonly jti: string;
  readonly expiresAt: Date;
  /** When the token was first revoked; undefined if unknown. */
  readonly createdAt: Date | undefined;
  /** The reason given by the first revocation; empty if there was none. */
  readonly reason: string;
  /** The caller that revoked the token first; empty if callers are not authenticated. */
  readonly revokedBy: string;
}

/** All filters must match; absent filters match everything. `timeoutMs` applies to each page. */
export interface ListOptions extends CallOptions {
  /** Include entries that are no longer effective, unless they have been pruned. */
  readonly includeExpired?: boolean | undefined;
  /** Only entries created at this time or later. */
  readonly createdAfter?: DateInput | undefined;
  /** Only entries created before this time. */
  readonly createdBefore?: DateInput | undefined;
  /** Only entries that this caller was the first to revoke. */
  readonly revokedBy?: string | undefined;
  /** Only these jtis, at most 1000. An empty array lists nothing. A raw token is rejected unless an older version or an import has stored it. */
  readonly jtis?: readonly string[] | undefined;
  /** Entries per page: 1 to 1000; 100 if absent. */
  readonly pageSize?: number | undefined;
}

export interface PruneOptions extends CallOptions {
  /** The maximum number of entries to delete: 1 to 100,000; 10,000 if absent. */
  readonly maxCount?: number | undefined;
  /** Delete nothing; count the entries that would be deleted. */
  readonly dryRun?: boolean | undefined;
  /** Keep entries that expire at this time or later. */
  readonly expiredBefore?: DateInput | undefined;
}

export interface Pruned {
  readonly prunedCount: number;
  /** True if there may be more entries to delete: call again. */
  readonly hasMore: boolean;
}
