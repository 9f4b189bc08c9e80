import type { Caller, KnownCaller } from "../caller.ts";
import type { EntryKey, EpochMs, NewEntry } from "../entry.ts";
import type { Revision } from "../revision.ts";
import type { ExpiryContext, ListPage, ListQuery, PruneResult, PruneTask, Store } from "../store/store.ts";
import type { Clock } from "../time/clock.ts";
import type { ClockBounds } from "../time/clock-bounds.ts";
import type { TokenIdentity } from "../token-identity.ts";
import type { Awaitable, CheckAnswer, CheckService, Freshness } from "./check-service.ts";
import type { Observer } from "./observer.ts";
import { prunePause } from "./prune-pace.ts";
import { Allowance, type Quota } from "./quota.ts";
import type { Writer, Written } from "./writer.ts";

interface Options {
  readonly store: Store;
  readonly writer: Writer;
  readonly checks: CheckService;
  /** Absent: no caller has a quota. */
  readonly quota?: Quota | undefined;
  readonly clock: Clock;
  readonly clockBounds: ClockBounds;
  /** How long after its expiry an entry stays effective. */
  readonly leewayMs: number;
  /** How long an entry that is no longer effective is kept before Prune deletes it. */
  readonly retentionMs: number;
  readonly observer?: Observer;
}

/** The operations of the service. Arguments have been validated; `proto/` documents what each operation promises. */
export class Blacklist {
  readonly #options: Options;
  #checkCount = 0;

  constructor(options: Options) {
    this.#options = options;
  }

  /**
   * Whether, by the service's clock and by the database's clock, no verifier can still accept a token that expires at `expiresAt`:
   * blacklisting it would be a mistake.
   */
  isPast(expiresAt: EpochMs): boolean {
    const { clockBounds, leewayMs } = this.#options;
    return expiresAt + leewayMs <= clockBounds.earliest();
  }

  /** The expiry of a token that lives for `lifetimeMs` from now, by the service's clock. */
  lifetimeEnd(lifetimeMs: number): EpochMs {
    return (this.#options.clock.now() + lifetimeMs) as EpochMs;
  }

  /** Throws UNAUTHENTICATED when the caller's own token is blacklisted. {@link check} does this itself. */
  async checkOwnToken(caller: Caller): Promise<void> {
    const token = caller.principal?.token;
    if (token !== undefined) await this.#options.checks.check([token], { kind: "linearizable" }, caller);
  }

  /** What one request of this caller may take from the caller's quota. */
  allowance({ principal }: KnownCaller): Allowance {
    return this.#options.quota?.allowance(principal.name) ?? new Allowance(UNLIMITED);
  }

  /**
   * Adds or extends entries. `allowance` holds what the request has already reserved. Throws QUOTA_EXCEEDED, and whatever {@link
   * Writer.write} throws.
   */
  async add(
    entries: readonly NewEntry[],
    caller: KnownCaller,
    allowance = this.allowance(caller),
  ): Promise<Written> {
    await allowance.reserve(entries.length);
    try {
      const written = await this.#options.writer.write(entries, caller);
      allowance.settle(written.results.filter(({ outcome }) => outcome === "created").length);
      return written;
    } catch (error) {
      // The entries may have been stored despite the error.
      allowance.settle();
      throw error;
    }
  }

  /** The revision of the last commit. */
  async revision(): Promise<Revision> {
    return (await this.#options.store.read([])).revision;
  }

  check(tokens: readonly TokenIdentity[], freshness: Freshness, caller: Caller): Awaitable<CheckAnswer> {
    this.#checkCount++;
    return this.#options.checks.check(tokens, freshness, caller);
  }

  list(query: Omit<ListQuery, keyof ExpiryContext>): Promise<ListPage> {
    return this.#options.store.list({ ...query, ...this.#expiryContext() });
  }

  /** The members of `keys` that have an entry, expired or not. */
  async storedAmong(keys: readonly EntryKey[]): Promise<ReadonlySet<EntryKey>> {
    const filter = {
      includeExpired: true,
      createdAfter: undefined,
      createdBefore: undefined,
      revokedBy: undefined,
      keys,
    };
    const { entries } = await this.list({ filter, limit: keys.length, after: undefined, asOf: undefined });
    return new Set(entries.map(({ key }) => key));
  }

  async prune(request: Pick<PruneTask, "limit" | "dryRun" | "expiredBefore">): Promise<PruneResult> {
    const { clock, observer, retentionMs, store } = this.#options;
    const mayContinueAfterPause = prunePause(clock, () => this.#checkCount);
    const task = { ...request, ...this.#expiryContext(), retentionMs, mayContinueAfterPause };
    const result = await store.prune(task);
    if (!request.dryRun) observer?.pruned(result.count);
    return result;
  }

  /** The secret shared by all replicas, from which the key of page tokens is derived. */
  async secret(): Promise<Buffer> {
    return (await this.#options.store.open()).secret;
  }

  #expiryContext(): ExpiryContext {
    const { clock, leewayMs } = this.#options;
    return { now: clock.now(), leewayMs };
  }
}

/** For a caller without a quota: reserves without a bound, and has nothing to give back. */
const UNLIMITED = async () => () => {};
