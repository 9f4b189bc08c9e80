import type { ClientState } from "./client-state.ts";

/** A moment: a `Date`, or milliseconds since 1970. A number below 10^11 is refused: it is an `exp` in seconds, not yet times 1000. */
export type Moment = Date | number;

/** The service, as a gateway or an auth service uses it. `connect()` makes one; one is enough for a process. */
export interface BlacklistClient {
  /**
   * Whether the token is blacklisted. Unless the options allow less, the answer takes into account every revocation that
   * any replica of the service had acknowledged before this was called.
   *
   * Rejects with a `ClientError` when that cannot be told; a token passes on `false` alone. `onUnavailable` may put an
   * answer in the place of that rejection, except after INVALID_ARGUMENT (`jti` is not 1 to 255 bytes of well-formed
   * UTF-8 without NUL, or is a raw token; or an option makes no sense), FAILED_PRECONDITION (`REVISION_LOST`: the service no longer has
   * `atLeastRevision`), and CANCELLED (`signal`, `close()`).
   */
  isBlacklisted(jti: string, options?: CheckOptions): Promise<boolean>;

  /**
   * {@link isBlacklisted} for each of any number of jtis, in their order, under one deadline. Rejects as a whole: with
   * INVALID_ARGUMENT and every violation (`jtis[3]`) when one is malformed, and when one cannot be told and
   * `onUnavailable` is `throw`. No jtis: no answers.
   */
  areBlacklisted(jtis: readonly string[], options?: CheckOptions): Promise<boolean[]>;

  /**
   * What is known without asking: `true` for a token known to be blacklisted; `false`, in replica mode alone, where the
   * copy was proven current within `maxStalenessMs`; otherwise, and for what is no jti, `undefined`, which lets no token
   * pass. Never throws.
   */
  peek(jti: string, options?: PeekOptions): boolean | undefined;

  /**
   * Revokes 1 to 1000 tokens, all or none. Once it resolves, the revocation is durable and every fully fresh check
   * anywhere says so. Safe to repeat, and repeated by itself while the service is unavailable and time is left.
   *
   * Rejects with a `ClientError`. After INVALID_ARGUMENT and RESOURCE_EXHAUSTED nothing was stored; after any other
   * it is unknown: call again.
   */
  blacklist(tokens: readonly TokenToRevoke[], options?: CallOptions): Promise<Revoked>;

  /**
   * The entries, those revoked last first, over all pages. A page is fetched when the loop gets there; leaving the loop
   * ends it. Throws a `ClientError` into the loop.
   */
  list(options?: ListOptions): AsyncIterable<ListedToken>;

  /**
   * Deletes entries that no longer matter. The service does so by itself every hour. Never repeated by itself: what an
   * unanswered call has deleted would go uncounted. Safe to repeat.
   */
  prune(options?: PruneOptions): Promise<Pruned>;

  /**
   * Resolves once checks can be answered: the service has answered one, and in replica mode the copy is complete and proven. At once
   * where that is so already. Waits for a service that is not there yet, and keeps the process alive meanwhile. Rejects with a
   * `ClientError`: DEADLINE_EXCEEDED after `timeoutMs`, with the last failure as its `cause`; CANCELLED by `signal`, `close()`
   * and the like.
   */
  ready(options?: ReadyOptions): Promise<void>;

  /** How things stand. Informative: ask, whatever it says. */
  readonly state: ClientState;
  /**
   * Calls `listener` with each new {@link state}. There is no other event: `on`, `once` and `off` throw a TypeError at any other name,
   * and where `listener` is no function. What a listener throws is logged, and nothing else.
   */
  on(event: "state", listener: (state: ClientState) => void): this;
  /** Calls `listener` with the next new {@link state}, and then no more. */
  once(event: "state", listener: (state: ClientState) => void): this;
  /** Takes `listener` back, added by `on` or `once`. */
  off(event: "state", listener: (state: ClientState) => void): this;

  /** Lets go of all connections. Checks that still wait reject with CANCELLED, and so does what is called afterwards. May be called twice. */
  close(): void;
  /** The same, for `using`. */
  [Symbol.dispose](): void;
  /** For `await using`: takes nothing more, waits until all that was called is settled, and closes. */
  [Symbol.asyncDispose](): Promise<void>;
}

export interface ReadyOptions {
  /** How long to wait at most; unless given, for as long as it takes. */
  readonly timeoutMs?: number | undefined;
  /** Gives up when aborted: rejects with CANCELLED. */
  readonly signal?: AbortSignal | undefined;
}

export interface CallOptions {
  /** How long to wait at most, repetitions included. Unless given: what `connect()` was given, else 2 seconds for checks and 10 for the rest. */
  readonly timeoutMs?: number | undefined;
  /** Gives up when aborted: rejects with CANCELLED. */
  readonly signal?: AbortSignal | undefined;
}

/** At most one of `maxStalenessMs` and `atLeastRevision`. */
export interface CheckOptions extends CallOptions {
  /** `false` may rely on a state that was true at some moment not longer ago than this. 0, like absent: fully fresh. */
  readonly maxStalenessMs?: number | undefined;
  /** `false` may rely on any state that includes this revision: text that {@link BlacklistClient.blacklist} returned. */
  readonly atLeastRevision?: string | undefined;
  /** Whether to reject at once while the service answers no checks. Unless given: what `connect()` was given. */
  readonly failFast?: boolean | undefined;
  /** When the token itself expires: a positive answer is then remembered until that moment, instead of a minute. */
  readonly expiresAt?: Moment | undefined;
}

export interface PeekOptions {
  /** Absent: only positives are told. */
  readonly maxStalenessMs?: number | undefined;
}

/** A token to revoke: by its jti, vouched for by the caller, or whole, verified by the service (`TOKEN_ISSUERS`). */
export type TokenToRevoke =
  | {
      /** The token's `jti` claim. A raw token is refused. */
      readonly jti: string;
      /** The token's `exp`. */
      readonly expiresAt: Moment;
      /** Why, for whoever investigates later: at most 512 bytes of UTF-8. */
      readonly reason?: string | undefined;
      readonly jwt?: undefined;
    }
  | {
      /** The encoded token, at most 16 KiB: an access, refresh or ID token. Neither stored nor logged. */
      readonly jwt: string;
      readonly reason?: string | undefined;
      readonly jti?: undefined;
      readonly expiresAt?: undefined;
    };

export interface Revoked {
  /** Includes these revocations. Handed to a gateway for `atLeastRevision`, it makes sure that the gateway sees them. */
  readonly revision: string;
  /** One for each token, in their order. */
  readonly results: readonly RevocationResult[];
}

/**
 * All four are success. `created`: this call revoked it, and no concurrent one was told so. `already-blacklisted`: nothing
 * changed. `extended`: the expiry was moved to the later one given. `already-expired`: a `jwt` that had expired by itself.
 */
export type RevocationOutcome = "created" | "already-blacklisted" | "extended" | "already-expired";

/** The entry as it is stored now, which may differ from what was asked. */
export interface RevocationResult extends ListedToken {
  readonly outcome: RevocationOutcome;
}

/** An entry of the blacklist. */
export interface ListedToken {
  readonly jti: string;
  readonly expiresAt: Date;
  /** When it was first revoked; undefined where that is unknown. */
  readonly createdAt: Date | undefined;
  /** Why, as the first revocation said; empty if it did not. */
  readonly reason: string;
  /** Who revoked it first; empty where callers are not authenticated. */
  readonly revokedBy: string;
}

/** All filters must hold at once; what is absent does not restrict. `timeoutMs` is for each page. */
export interface ListOptions extends CallOptions {
  /** Also entries that no longer answer `true`, as far as they have not been pruned. */
  readonly includeExpired?: boolean | undefined;
  /** Only entries created at this moment or later. */
  readonly createdAfter?: Moment | undefined;
  /** Only entries created before this moment. */
  readonly createdBefore?: Moment | undefined;
  readonly revokedBy?: string | undefined;
  /** Only these, at most 1000. An empty array lists nothing. A raw token is refused unless an older version has stored it. */
  readonly jtis?: readonly string[] | undefined;
  /** Entries fetched at once: 1 to 1000, 100 unless given. */
  readonly pageSize?: number | undefined;
}

export interface PruneOptions extends CallOptions {
  /** How many entries to delete at most: 1 to 100,000, 10,000 unless given. */
  readonly maxCount?: number | undefined;
  /** Delete nothing, count what would be deleted. */
  readonly dryRun?: boolean | undefined;
  /** Spare entries that expire at this moment or later. */
  readonly expiredBefore?: Moment | undefined;
}

export interface Pruned {
  readonly prunedCount: number;
  /** There may be more to delete: call again. */
  readonly hasMore: boolean;
}
