import type { Caller, KnownCaller } from "../caller.ts";
import type { EntryKey, EpochMs, NewEntry } from "../entry.ts";
import type { Revision } from "../revision.ts";
import type { ExpiryContext, ListCursor, ListFilter, ListPage, PruneResult, Store } from "../store/store.ts";
import type { Clock } from "../time/clock.ts";
import type { ClockBounds } from "../time/clock-bounds.ts";
import type { TokenIdentity } from "../token-identity.ts";
import type { CheckAnswer, CheckService, Freshness } from "./check-service.ts";
import { type Observer, UNOBSERVED } from "./observer.ts";
import { PrunePace } from "./prune-pace.ts";
import { Allowance, type Quota } from "./quota.ts";
import type { Writer, Written } from "./writer.ts";

/** The operations of the service. Arguments have been validated; `proto/` documents what each operation promises. */
export class Blacklist {
  readonly #store: Store;
  readonly #writer: Writer;
  readonly #checks: CheckService;
  readonly #quota: Quota | undefined;
  readonly #clock: Clock;
  readonly #clockBounds: ClockBounds;
  readonly #leewayMs: number;
  readonly #retentionMs: number;
  readonly #observer: Observer;
  #checkCount = 0;

  constructor(options: {
    store: Store;
    writer: Writer;
    checks: CheckService;
    /** Absent: no caller has a quota. */
    quota?: Quota | undefined;
    clock: Clock;
    clocks: ClockBounds;
    leewayMs: number;
    retentionMs: number;
    observer?: Observer;
  }) {
    this.#store = options.store;
    this.#writer = options.writer;
    this.#checks = options.checks;
    this.#quota = options.quota;
    this.#clock = options.clock;
    this.#clockBounds = options.clocks;
    this.#leewayMs = options.leewayMs;
    this.#retentionMs = options.retentionMs;
    this.#observer = options.observer ?? UNOBSERVED;
  }

  /**
   * True when, by both clocks, no verifier can still accept a token that expires at `expiresAt`, so that blacklisting it would be a
   * mistake.
   */
  isPast(expiresAt: EpochMs): boolean {
    return expiresAt + this.#leewayMs <= this.#clockBounds.earliest();
  }

  /** The expiry of a token that lives for `lifetimeMs` from now. */
  lifetimeEnd(lifetimeMs: number): EpochMs {
    return (this.#clock.now() + lifetimeMs) as EpochMs;
  }

  /** Throws UNAUTHENTICATED when the caller's own token is blacklisted. {@link check} does this itself. */
  async checkOwnToken(caller: Caller): Promise<void> {
    const token = caller.principal?.token;
    if (token !== undefined) await this.#checks.check([token], { kind: "linearizable" }, caller);
  }

  /** The allowance of one request of this caller. */
  allowance({ principal }: KnownCaller): Allowance {
    return this.#quota === undefined ? new Allowance(UNLIMITED) : this.#quota.allowance(principal.name);
  }

  /** `allowance` holds what the request has already reserved. Throws QUOTA_EXCEEDED, and the errors of {@link Writer.write}. */
  async add(
    entries: readonly NewEntry[],
    caller: KnownCaller,
    allowance = this.allowance(caller),
  ): Promise<Written> {
    await allowance.reserve(entries.length);
    try {
      const written = await this.#writer.write(entries, caller);
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
    return (await this.#store.read([])).revision;
  }

  check(
    tokens: readonly TokenIdentity[],
    freshness: Freshness,
    caller: Caller,
  ): CheckAnswer | Promise<CheckAnswer> {
    this.#checkCount++;
    return this.#checks.check(tokens, freshness, caller);
  }

  list(query: {
    filter: ListFilter;
    limit: number;
    after: ListCursor | undefined;
    asOf: EpochMs | undefined;
  }): Promise<ListPage> {
    return this.#store.list({ ...query, ...this.#expiryContext() });
  }

  /** Those of `keys` that have an entry, expired or not. Accepts at most one page of keys. */
  async stored(keys: readonly EntryKey[]): Promise<ReadonlySet<EntryKey>> {
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

  async prune(request: {
    limit: number;
    dryRun: boolean;
    expiredBefore: EpochMs | undefined;
  }): Promise<PruneResult> {
    const pace = new PrunePace(this.#clock, () => this.#checkCount);
    const result = await this.#store.prune({
      ...request,
      ...this.#expiryContext(),
      retentionMs: this.#retentionMs,
      pause: () => pace.pause(),
    });
    if (!request.dryRun) this.#observer.pruned(result.count);
    return result;
  }

  /** The secret shared by all replicas, from which the key of page tokens is derived. */
  async secret(): Promise<Buffer> {
    return (await this.#store.open()).secret;
  }

  #expiryContext(): ExpiryContext {
    return { now: this.#clock.now(), leewayMs: this.#leewayMs };
  }
}

const UNLIMITED = async () => () => {};
