import type { Entry, EntryKey, EpochMs, NewEntry } from "../../src/entry.ts";
import { storeUnavailable } from "../../src/errors.ts";
import { SCAN_PAGE, TAIL_PAGE } from "../../src/limits.ts";
import type { Revision } from "../../src/revision.ts";
import type {
  Changes,
  CommitResult,
  DatabaseIdentity,
  ExpiryContext,
  ListPage,
  LookupResult,
  PruneResult,
  PruneTask,
  ScanPage,
  Store,
  Tail,
  TailPosition,
  WriteResult,
} from "../../src/store/store.ts";
import type { FakeClock } from "./fake-clock.ts";

/** An operation in flight, which ends when the test says so. `release` and `fail` resolve when everything that follows has happened. */
export interface Held<I> {
  readonly input: I;
  release(): Promise<void>;
  fail(error: unknown): Promise<void>;
}

/**
 * An in-memory store whose operations wait for the test to release them, so that the test controls the order of events. Reads return the
 * state at their start; writes take effect when released.
 */
export class HeldStore implements Store {
  /** All operations so far, in order, with their inputs. */
  readonly writes: Held<readonly NewEntry[]>[] = [];
  readonly reads: Held<readonly EntryKey[]>[] = [];
  readonly prunes: Held<PruneTask>[] = [];
  readonly changes: Held<{
    readonly from: TailPosition;
    readonly seen: Revision | undefined;
    readonly required: readonly Revision[];
  }>[] = [];
  readonly scans: Held<string>[] = [];
  /** The arguments of each call of `missing`. */
  readonly lookUps: (readonly Revision[])[] = [];
  readonly table = new Map<string, Entry>();
  writable = true;
  /** How far the database's clock is ahead of the service's. */
  skewMs = 0;
  /** The successive results of `prune`; afterwards nothing is left to prune. */
  readonly pruneReceipts: PruneResult[] = [];
  /** The error of `missing`, if any. */
  missingFailure: unknown;
  /** The error of `open`, if any. */
  openFailure: unknown;
  /** The number of open tails. */
  tails = 0;
  /** False: operations end at once. */
  holding: boolean;
  readonly #clock: FakeClock;
  /** The commit that last changed each entry. */
  readonly #changedIn = new Map<string, number>();
  /** Stamps that differ from their commit's number: those of another history. */
  readonly #stamps = new Map<number, string>();
  /** Rows per page; the real limits would need thousands of entries. */
  page: number = TAIL_PAGE;
  #revision = 0;
  #histories = 1;

  constructor({ clock, holding = true }: { clock: FakeClock; holding?: boolean }) {
    this.#clock = clock;
    this.holding = holding;
  }

  get revision(): Revision {
    return { number: this.#revision, stamp: this.#stampOf(this.#revision) };
  }

  #stampOf(number: number): string {
    return this.#stamps.get(number) ?? number.toString(16).padStart(16, "0");
  }

  /** Commits at once, as another replica. */
  commit(...entries: readonly NewEntry[]): void {
    this.#commit(entries, { now: this.#clock.now(), leewayMs: 0 });
  }

  /** Restores the database to its state after `revision`; later commits belong to another history. */
  restore(revision: number): void {
    for (const [key, changedIn] of this.#changedIn) if (changedIn > revision) this.table.delete(key);
    this.#revision = revision;
    const history = this.#histories++;
    for (let number = revision + 1; number < revision + 100; number++) {
      this.#stamps.set(number, `${history.toString(16)}${number.toString(16).padStart(15, "0")}`);
    }
  }

  /** Returns to the server of the first history, as of `revision`; the test is responsible for the table. */
  bringBack(revision: number): void {
    this.#revision = revision;
    this.#stamps.clear();
  }

  get clock(): EpochMs {
    return (this.#clock.now() + this.skewMs) as EpochMs;
  }

  async open(): Promise<DatabaseIdentity> {
    if (this.openFailure !== undefined) throw this.openFailure;
    return { generation: "0".repeat(32), secret: Buffer.alloc(32), remark: undefined };
  }

  write(entries: readonly NewEntry[], context: ExpiryContext): Promise<CommitResult> {
    return this.#hold(this.writes, entries, () => this.#commit(entries, context));
  }

  read(keys: readonly EntryKey[], required: readonly Revision[] = []): Promise<LookupResult> {
    const entries = keys.flatMap((key) => this.table.get(key) ?? []);
    const result = {
      revision: this.revision,
      clock: this.clock,
      writable: this.writable,
      found: new Map(entries.map(({ key, expiresAt }) => [key, { expiresAt }])),
      intact: required.every((one) => this.#contains(one)),
    };
    return this.#hold(this.reads, keys, () => result);
  }

  async missing(revisions: readonly Revision[]): Promise<Revision[]> {
    if (this.missingFailure !== undefined) throw this.missingFailure;
    this.lookUps.push(revisions);
    return revisions.filter((one) => !this.#contains(one));
  }

  #contains({ number, stamp }: Revision): boolean {
    return number <= this.#revision && this.#stampOf(number) === stamp;
  }

  prune(order: PruneTask): Promise<PruneResult> {
    return this.#hold(this.prunes, order, () => this.pruneReceipts.shift() ?? { count: 0, hasMore: false });
  }

  async countBy(): Promise<number> {
    throw new Error("no test of an order of events counts anything");
  }

  async oldestPrunable(): Promise<EpochMs | undefined> {
    throw new Error("no test of an order of events looks for it");
  }

  readonly poolUse = { used: 0, idle: 0, limit: 1, waiting: 0 };

  async list(): Promise<ListPage> {
    throw new Error("no test of an order of events lists anything");
  }

  openTail(): Tail {
    let closed = false;
    this.tails++;
    const underWay = new Set<(error: unknown) => Promise<void>>();
    const hold = <I, T>(begun: Held<I>[], input: I, effect: () => T): Promise<T> => {
      if (closed) return Promise.reject(storeUnavailable("the tail is closed"));
      const ended = this.#hold(begun, input, effect);
      const { fail } = begun.at(-1) as Held<I>;
      underWay.add(fail);
      const forget = () => void underWay.delete(fail);
      ended.then(forget, forget);
      return ended;
    };
    return {
      changes: (from, seen, required = []) => {
        const changes = this.#changes(from, seen === undefined ? required : [seen, ...required]);
        return hold(this.changes, { from, seen, required }, () => changes);
      },
      scan: (after) => {
        const page = this.#scan(Buffer.from(after).toString());
        return hold(this.scans, Buffer.from(after).toString(), () => page);
      },
      close: () => {
        if (!closed) this.tails--;
        closed = true;
        for (const fail of underWay) void fail(storeUnavailable("the tail is closed"));
      },
    };
  }

  #changes(from: TailPosition, required: readonly Revision[]): Changes {
    const after = Buffer.from(from.key).toString();
    const rows = [...this.table.values()]
      .map(({ key, expiresAt }) => ({ key, expiresAt, revision: this.#changedIn.get(key) ?? 0 }))
      .filter(({ key, revision }) => revision > from.revision || (revision === from.revision && key > after))
      .sort((a, b) => a.revision - b.revision || (a.key < b.key ? -1 : 1))
      .slice(0, this.page);
    const last = rows.at(-1);
    const hasMore = rows.length === this.page;
    return {
      revision: this.revision,
      clock: this.clock,
      writable: this.writable,
      intact: required.every((one) => this.#contains(one)),
      entries: rows.map(({ key, expiresAt }) => ({ key: Buffer.from(key), expiresAt })),
      hasMore,
      next:
        hasMore && last !== undefined
          ? { revision: last.revision, key: Buffer.from(last.key) }
          : { revision: this.#revision + 1, key: Buffer.alloc(0) },
    };
  }

  #scan(after: string): ScanPage {
    const size = Math.min(this.page, SCAN_PAGE);
    const rows = [...this.table.values()]
      .filter(({ key }) => key > after)
      .sort((a, b) => (a.key < b.key ? -1 : 1));
    return {
      entries: rows.slice(0, size).map(({ key, expiresAt }) => ({ key: Buffer.from(key), expiresAt })),
      hasMore: rows.length >= size,
    };
  }

  async close(): Promise<void> {}

  #hold<I, T>(begun: Held<I>[], input: I, effect: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const end = (outcome: () => void): Promise<void> => {
        outcome();
        return turn();
      };
      const held = {
        input,
        release: () => end(() => resolve(effect())),
        fail: (error: unknown) => end(() => reject(error)),
      };
      begun.push(held);
      if (!this.holding) resolve(effect());
    });
  }

  #commit(entries: readonly NewEntry[], { now, leewayMs }: ExpiryContext): CommitResult {
    this.#revision++;
    const judgedAt = Math.min(now, this.clock);
    const results = entries.map((asked): WriteResult => {
      const stored = this.table.get(asked.key);
      if (stored === undefined || stored.expiresAt + leewayMs <= judgedAt) {
        return { outcome: "created", entry: { ...asked, createdAt: this.clock } };
      }
      if (asked.expiresAt <= stored.expiresAt) return { outcome: "unchanged", entry: stored };
      return { outcome: "extended", entry: { ...stored, expiresAt: asked.expiresAt } };
    });
    for (const { entry, outcome } of results) {
      if (outcome === "unchanged") continue;
      this.table.set(entry.key, entry);
      this.#changedIn.set(entry.key, this.#revision);
    }
    return { revision: this.revision, results };
  }
}

/** Resolves when every promise that needs no outside event has settled. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
