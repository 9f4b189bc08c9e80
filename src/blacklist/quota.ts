import { ServiceError } from "../errors.ts";
import { MAX_BATCH } from "../limits.ts";
import type { Clock } from "../time/clock.ts";

/** Interval of counts. After at most this time a quota reflects entries that have expired or were created at another replica. */
export const QUOTA_RECOUNT_MS = 60_000;
/** Callers whose quotas are tracked at once. */
export const MAX_QUOTA_CALLERS = 10_000;

/** Rows by which a request may exceed the caller's token bucket: a caller that retries in time must not be rejected because of a rounding error. */
const ROUNDING = 1e-6;

interface Account {
  /** Rows in the token bucket at `filledAt`, by the monotonic clock. */
  available: number;
  filledAt: number;
  /** The caller's unexpired entries as last counted in the database, plus those added since. */
  rows: number;
  /** Rows being written, which the last count may not include. */
  reserved: number;
  /** When the last count began, by the monotonic clock; -Infinity: never. */
  countedAt: number;
  counting: Promise<void> | undefined;
}

interface Options {
  /** Entries per second at this replica; 0: unlimited. */
  readonly rowsPerSecond: number;
  /** Unexpired entries; 0: unlimited. */
  readonly maxRows: number;
  /**
   * Whether a request waits for the count of the caller's entries, and fails if counting fails. Otherwise it uses the last count, and
   * is admitted before the first: a default quota that no operator has configured must not delay revocations.
   */
  readonly waitsForCount: boolean;
  /** Entries of all callers, or somewhat more; undefined if unknown. While they are within one quota, no caller's entries are counted. */
  readonly totalEntries: () => number | undefined;
  readonly clock: Clock;
  /** Counts a caller's entries in the database, up to `limit`. */
  readonly countEntries: (revokedBy: string, limit: number) => Promise<number>;
}

/** Gives back all reserved rows but those that became entries. */
type Settle = (created: number) => void;

/** What one request takes from its caller's quota, before any costly work is done for it. */
export class Allowance {
  readonly #take: (rows: number) => Promise<Settle>;
  #settle: Settle | undefined;
  #rows = 0;

  constructor(take: (rows: number) => Promise<Settle>) {
    this.#take = take;
  }

  /** Takes `rows`, unless they were taken before. Throws QUOTA_EXCEEDED with the time after which to retry. */
  async reserve(rows: number): Promise<void> {
    if (this.#settle !== undefined) return;
    this.#settle = await this.#take(rows);
    this.#rows = rows;
  }

  /** Gives back all rows but those that became entries; absent: all may have become entries. Later calls have no effect. */
  settle(created = this.#rows): void {
    this.#settle?.(created);
    this.#settle = undefined;
  }
}

/** Limits what one caller may blacklist, so that a stolen credential cannot fill the memory of all replicas. */
export class Quota {
  readonly #options: Options;
  readonly #accounts = new Map<string, Account>();

  constructor(options: Options) {
    this.#options = options;
  }

  /** As {@link Allowance.reserve}. */
  async reserve(caller: string, rows: number): Promise<Settle> {
    const account = this.#accountOf(caller);
    this.#spend(account, rows);
    const { maxRows, waitsForCount, totalEntries } = this.#options;
    if (maxRows === 0) return () => {};
    if (!this.#isTotalWithinQuota(account, rows)) {
      if (waitsForCount) await this.#recount(caller, account);
      // Without an index there is no memory to protect, and counting would burden the database.
      else if (totalEntries() !== undefined) void this.#recount(caller, account).catch(() => {});
      const isCounted = account.countedAt > Number.NEGATIVE_INFINITY;
      if (isCounted && account.rows + account.reserved + rows > maxRows) {
        throw new ServiceError("QUOTA_EXCEEDED", `the caller may have at most ${maxRows} entries`, {
          retryAfterMs: QUOTA_RECOUNT_MS,
        });
      }
    }
    account.reserved += rows;
    return (created) => {
      account.reserved -= rows;
      account.rows += created;
    };
  }

  /** Whether the caller would be within its quota even if all existing entries were its own. */
  #isTotalWithinQuota({ reserved }: Account, rows: number): boolean {
    const total = this.#options.totalEntries();
    return total !== undefined && total + reserved + rows <= this.#options.maxRows;
  }

  /** The largest share of its quota that any caller has used, from 0 to 1; undefined for a limit that is not set. */
  get used(): { readonly rows: number | undefined; readonly rowsPerSecond: number | undefined } {
    const { maxRows, rowsPerSecond, totalEntries, clock } = this.#options;
    let mostRows = 0;
    let mostSpent = 0;
    const now = clock.monotonic();
    for (const account of this.#accounts.values()) {
      mostRows = Math.max(mostRows, account.rows + account.reserved);
      mostSpent = Math.max(mostSpent, 1 - this.#availableAt(now, account) / this.#burst);
    }
    const all = totalEntries();
    // While the total is within one quota, no caller's entries are counted, and no caller has more than the total.
    if (all !== undefined && all <= maxRows) mostRows = all;
    return {
      rows: maxRows === 0 ? undefined : Math.min(1, mostRows / maxRows),
      rowsPerSecond: rowsPerSecond === 0 ? undefined : mostSpent,
    };
  }

  /** The allowance of one request of this caller. */
  allowance(caller: string): Allowance {
    return new Allowance((rows) => this.reserve(caller, rows));
  }

  #accountOf(caller: string): Account {
    let account = this.#accounts.get(caller);
    if (account === undefined) {
      if (this.#accounts.size >= MAX_QUOTA_CALLERS) {
        const [oldest] = this.#accounts.keys();
        this.#accounts.delete(oldest as string);
      }
      const now = this.#options.clock.monotonic();
      account = {
        available: this.#burst,
        filledAt: now,
        rows: 0,
        reserved: 0,
        countedAt: Number.NEGATIVE_INFINITY,
        counting: undefined,
      };
      this.#accounts.set(caller, account);
    }
    return account;
  }

  /** The capacity of a bucket: one second's rows, and at least one request of maximum size. */
  get #burst(): number {
    return Math.max(MAX_BATCH, this.#options.rowsPerSecond);
  }

  /** The rows in the caller's bucket at this time by the monotonic clock. */
  #availableAt(now: number, { available, filledAt }: Account): number {
    return Math.min(this.#burst, available + ((now - filledAt) / 1000) * this.#options.rowsPerSecond);
  }

  #spend(account: Account, rows: number): void {
    const { rowsPerSecond: rate, clock } = this.#options;
    if (rate === 0) return;
    const now = clock.monotonic();
    account.available = this.#availableAt(now, account);
    account.filledAt = now;
    if (rows > account.available + ROUNDING) {
      throw new ServiceError("QUOTA_EXCEEDED", `the caller may blacklist ${rate} tokens a second`, {
        retryAfterMs: Math.ceil(((rows - account.available) / rate) * 1000),
      });
    }
    account.available -= rows;
  }

  async #recount(caller: string, account: Account): Promise<void> {
    if (this.#options.clock.monotonic() - account.countedAt < QUOTA_RECOUNT_MS) return;
    // Requests that arrive meanwhile wait for the same count: unknown does not mean zero.
    account.counting ??= this.#count(caller, account).finally(() => {
      account.counting = undefined;
    });
    await account.counting;
  }

  async #count(caller: string, account: Account): Promise<void> {
    const { clock, countEntries, maxRows } = this.#options;
    const now = clock.monotonic();
    const before = account.rows;
    const counted = await countEntries(caller, maxRows + 1);
    // Entries added meanwhile may be in the count already: overcounting is safer than undercounting.
    account.rows = counted + account.rows - before;
    account.countedAt = now;
  }
}
