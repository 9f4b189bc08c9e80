import type { Clock } from "../clock.ts";
import { ServiceError } from "../errors.ts";
import { MAX_BATCH, MAX_QUOTA_CALLERS, QUOTA_RECOUNT_MS } from "../limits.ts";

/** Of a row: who comes back when they were told must not be one rounding error too early. */
const ROUNDING = 1e-6;

interface Account {
  /** What may be spent at once; grows by the rate, up to a batch or a second's worth. */
  tokens: number;
  filledAt: number;
  /** Entries of the caller's that have not expired, as last counted in the database and with what was added since. */
  rows: number;
  /** What is being written: in no count for certain. */
  reserved: number;
  countedAt: number;
  isCounted: boolean;
  counting: Promise<void> | undefined;
}

interface Options {
  /** Entries a second, at this replica; 0: any number. */
  readonly rowsPerSecond: number;
  /** Entries that have not expired; 0: any number. */
  readonly rows: number;
  /**
   * Whether a request waits for the count of what the caller has, and fails where that fails. Otherwise it goes on by what was counted last,
   * and before anything was by nothing: then no revocation is late for a quota that nobody has set.
   */
  readonly waits: boolean;
  /** Entries of all callers together, or somewhat more; undefined where that is not known. While these are few nobody's are counted. */
  readonly total: () => number | undefined;
  readonly clock: Clock;
  /** How many a caller has in the database, counted up to `limit`. */
  readonly count: (revokedBy: string, limit: number) => Promise<number>;
}

/** What one request takes off its caller's quota, once: before anything is done for it that costs. */
export class Allowance {
  readonly #take: (rows: number) => Promise<(created: number) => void>;
  #settle: ((created: number) => void) | undefined;
  #rows = 0;

  constructor(take: (rows: number) => Promise<(created: number) => void>) {
    this.#take = take;
  }

  /** Takes `rows`, unless that was done before. Throws QUOTA_EXCEEDED, with the time after which it makes sense to come again. */
  async reserve(rows: number): Promise<void> {
    if (this.#settle !== undefined) return;
    this.#settle = await this.#take(rows);
    this.#rows = rows;
  }

  /** Gives back all but those that became entries; absent: all of them may have. Whatever is said after that changes nothing. */
  settle(created = this.#rows): void {
    this.#settle?.(created);
    this.#settle = undefined;
  }
}

/** What one caller may blacklist, so that a stolen credential cannot fill the memory of all replicas. */
export class Quota {
  readonly #options: Options;
  readonly #accounts = new Map<string, Account>();

  constructor(options: Options) {
    this.#options = options;
  }

  /**
   * Takes `rows` off what the caller may still blacklist; the returned function gives back all but those that became entries.
   * Throws QUOTA_EXCEEDED, with the time after which it makes sense to come again.
   */
  async reserve(caller: string, rows: number): Promise<(created: number) => void> {
    const account = this.#accountOf(caller);
    this.#spend(account, rows);
    const { rows: limit, waits, total } = this.#options;
    if (limit === 0) return () => {};
    if (!this.#isRoomForAll(account, rows)) {
      if (waits) await this.#recount(caller, account);
      // Without an index there is none to protect, and counting would be the database's burden.
      else if (total() !== undefined) void this.#recount(caller, account).catch(() => {});
      if (account.isCounted && account.rows + account.reserved + rows > limit) {
        throw new ServiceError("QUOTA_EXCEEDED", `the caller may have at most ${limit} entries`, {
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

  /** Whether even all entries there are would leave room. */
  #isRoomForAll({ reserved }: Account, rows: number): boolean {
    const total = this.#options.total();
    return total !== undefined && total + reserved + rows <= this.#options.rows;
  }

  /** The largest share of its quota that any caller has used, from 0 to 1; undefined for what is not limited. */
  get used(): { readonly rows: number | undefined; readonly rowsPerSecond: number | undefined } {
    const { rows, rowsPerSecond, total, clock } = this.#options;
    let mostRows = 0;
    let mostSpent = 0;
    const now = clock.monotonic();
    for (const account of this.#accounts.values()) {
      mostRows = Math.max(mostRows, account.rows + account.reserved);
      const tokens = Math.min(
        this.#burst,
        account.tokens + ((now - account.filledAt) / 1000) * rowsPerSecond,
      );
      mostSpent = Math.max(mostSpent, 1 - tokens / this.#burst);
    }
    const all = total();
    // Nobody's were counted: together they are still few.
    if (all !== undefined && all <= rows) mostRows = all;
    return {
      rows: rows === 0 ? undefined : Math.min(1, mostRows / rows),
      rowsPerSecond: rowsPerSecond === 0 ? undefined : mostSpent,
    };
  }

  /** What one request of this caller takes off the quota. */
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
        tokens: this.#burst,
        filledAt: now,
        rows: 0,
        reserved: 0,
        countedAt: Number.NEGATIVE_INFINITY,
        isCounted: false,
        counting: undefined,
      };
      this.#accounts.set(caller, account);
    }
    return account;
  }

  /** A whole request fits, however low the rate: it is paid for by waiting longer before the next. */
  get #burst(): number {
    return Math.max(MAX_BATCH, this.#options.rowsPerSecond);
  }

  #spend(account: Account, rows: number): void {
    const { rowsPerSecond: rate, clock } = this.#options;
    if (rate === 0) return;
    const now = clock.monotonic();
    account.tokens = Math.min(this.#burst, account.tokens + ((now - account.filledAt) / 1000) * rate);
    account.filledAt = now;
    if (rows > account.tokens + ROUNDING) {
      throw new ServiceError("QUOTA_EXCEEDED", `the caller may blacklist ${rate} tokens a second`, {
        retryAfterMs: Math.ceil(((rows - account.tokens) / rate) * 1000),
      });
    }
    account.tokens -= rows;
  }

  async #recount(caller: string, account: Account): Promise<void> {
    if (this.#options.clock.monotonic() - account.countedAt < QUOTA_RECOUNT_MS) return;
    // Those who come meanwhile wait for the same count: what is not known yet is not zero.
    account.counting ??= this.#count(caller, account).finally(() => {
      account.counting = undefined;
    });
    await account.counting;
  }

  async #count(caller: string, account: Account): Promise<void> {
    const { clock, count, rows: limit } = this.#options;
    const now = clock.monotonic();
    const before = account.rows;
    const counted = await count(caller, limit + 1);
    // What was added meanwhile may be in the count already: better too many than too few.
    account.rows = counted + account.rows - before;
    account.countedAt = now;
    account.isCounted = true;
  }
}
