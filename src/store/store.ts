import type { Entry, EntryKey, EntryTimes, EpochMs, NewEntry } from "../entry.ts";
import type { Revision } from "../revision.ts";

/**
 * Stores the blacklist: one table of entries, one order of commits. `test/store/contract.ts` tests that every implementation does what
 * these comments say.
 *
 * Every method throws `ServiceError` with reason STORE_UNAVAILABLE when the database cannot be reached, does not answer in time,
 * answers with an error that does not blame the statement or its data, refuses writes, is not the one this store was opened on, or
 * sends fewer rows than it found. The store recovers without being reopened. Methods never answer from an earlier state, and may be called
 * concurrently.
 */
export interface Store {
  /**
   * Connects, and checks that this version may use the schema. Stores this replica's leeway if it is the largest that any replica has run
   * with. Every other method opens the store if necessary. Throws `SchemaError` if the schema is too old, too new or absent; the other
   * methods then throw STORE_UNAVAILABLE.
   */
  open(): Promise<DatabaseIdentity>;

  /**
   * Adds or extends entries in one durable commit: all of them or none. Each key may occur once. Returns once a read after the COMMIT has
   * shown the commit.
   *
   * An entry whose `expiresAt + leewayMs` lies in the past by both clocks counts as absent and is replaced as a whole. Of an
   * existing entry only the {@link EntryTimes} may change, and each only to a later one. A commit whose answer was lost is retried
   * without being applied twice: of all calls for a key exactly one learns "created", if its answer arrives. After STORE_UNAVAILABLE
   * the entries may or may not have been stored; after any other error they have not.
   */
  write(entries: readonly NewEntry[], context: ExpiryContext): Promise<CommitResult>;

  /**
   * The stored entries with these keys, expired or not, from one read that reflects every commit that any replica acknowledged before this
   * call. Without keys it probes the database. `required` names commits, each once, that the database's history must contain, see
   * {@link LookupResult.intact}.
   */
  read(keys: readonly EntryKey[], required?: readonly Revision[]): Promise<LookupResult>;

  /**
   * The members of `revisions` that this database's history does not contain: ahead of its last commit, or with another stamp. A
   * revision older than the oldest commit kept is assumed to be contained, since its stamp is gone.
   */
  missing(revisions: readonly Revision[]): Promise<Revision[]>;

  /** One page of entries, newest first: by `createdAt` descending (unknown last), then by the bytes of the key, descending. */
  list(query: ListQuery): Promise<ListPage>;

  /** How many entries with this `revokedBy` have not expired, leeway included; counted up to `limit`. */
  countBy(query: CountQuery): Promise<number>;

  /**
   * Deletes, or with `dryRun` counts, up to `limit` entries for which `expiresAt + leeway + retentionMs` has passed by both clocks
   * and which expire before `expiredBefore`, where leeway is the larger of `leewayMs` and the leeway the database remembers. Works
   * in short transactions until `mayContinueAfterPause` resolves to false. Of concurrent calls, one counts each entry. Throws STORE_UNAVAILABLE,
   * deleting nothing, while the two clocks differ by more than `MAX_CLOCK_SKEW_MS`.
   */
  prune(request: PruneTask): Promise<PruneResult>;

  /**
   * When the entry that has been prunable for longest became prunable, by the rules of `prune`; undefined if there is none. Takes the same
   * time however large the table is.
   */
  oldestPrunable(context: ExpiryContext & { readonly retentionMs: number }): Promise<EpochMs | undefined>;

  /** The use of List's and Prune's connection pool. Sends no statement and never throws. */
  readonly poolUse: PoolUse;

  /** The changes, for keeping a copy of the blacklist, on a connection of its own that is opened on first use. */
  openTail(): Tail;

  /** Closes every connection, including those of tails. Calls in flight fail as unavailable. May be called twice. */
  close(): Promise<void>;
}

/**
 * The blacklist as a sequence of changes: every commit marks the rows it creates or extends with its revision, so a reader that has
 * all rows up to a revision lacks only rows with a later one. Rows are removed by Prune alone, which is not visible here. Throws as
 * `Store` does.
 */
export interface Tail {
  /**
   * The entries that changed after `from`, ordered by (revision, key), at most `TAIL_PAGE` of them, and the database's state, all
   * from one statement and one snapshot. If `hasMore` is false, nothing up to `revision` is left to be read. An entry that changes
   * again while pages are read is returned again, later. `seen` is the last revision that was read; `required` names further
   * commits, each once, before or after `from`, that this history must contain, see {@link Changes.intact}.
   */
  changes(from: TailPosition, seen: Revision | undefined, required?: readonly Revision[]): Promise<Changes>;

  /**
   * At most `SCAN_PAGE` entries in the order of their keys, beginning after `after`. Pages are not from one snapshot: a reader
   * needs all of them, and then the changes since a revision read before the first page, to miss nothing.
   */
  scan(after: Uint8Array): Promise<ScanPage>;

  /** Closes the connection. Calls in flight fail as unavailable. */
  close(): void;
}

/** The empty key, which sorts before every key. */
export const BEFORE_ALL_KEYS = new Uint8Array();

/** The position after the entry `key` of the commit `revision`; with `BEFORE_ALL_KEYS`, the one at the beginning of that commit. */
export interface TailPosition {
  readonly revision: number;
  readonly key: Uint8Array;
}

export interface TailEntry extends EntryTimes {
  /** UTF-8. */
  readonly key: Uint8Array;
}

export interface Changes extends DatabaseState {
  readonly entries: readonly TailEntry[];
  readonly hasMore: boolean;
  /** The position of the next page. */
  readonly next: TailPosition;
  /**
   * True if the commit `seen` and all required commits are in this database's history, or no commit was named. A required commit older than the
   * oldest commit kept is assumed to be. False: a crash, a restore or a failover has undone a commit, and everything read so far is of
   * another history.
   */
  readonly intact: boolean;
}

export type ScanPage = Pick<Changes, "entries" | "hasMore">;

export interface DatabaseIdentity {
  /** 32 hexadecimal digits, random, assigned once when the schema was created. */
  readonly generation: string;
  /** 32 random bytes shared by all replicas; keys are derived from it. Never leaves the service. */
  readonly secret: Buffer;
  /** Information for the operator, such as that the schema is newer than this version. */
  readonly remark: string | undefined;
}

/** The time at which one call judges expiry. */
export interface ExpiryContext {
  /** The service's clock. An entry has expired only when both this clock and the database's say so. */
  readonly now: EpochMs;
  /** How long after its expiry an entry stays effective. */
  readonly leewayMs: number;
}

/** The state of the database when it answered. */
export interface DatabaseState {
  /** The last commit. */
  readonly revision: Revision;
  /** The database's clock, in UTC. */
  readonly clock: EpochMs;
  /** False on a server that was demoted or made read-only: it may lag, so that the absence of an entry proves nothing. */
  readonly writable: boolean;
}

export interface LookupResult extends DatabaseState {
  /** By key. */
  readonly found: ReadonlyMap<string, EntryTimes>;
  /** True if all required commits are in this database's history, or older than the oldest commit kept. */
  readonly intact: boolean;
}

export interface CommitResult {
  /** The commit, or a later one that contains the entries as returned if another replica has extended one since. */
  readonly revision: Revision;
  /** One per entry written, in the order of the entries. */
  readonly results: readonly WriteResult[];
}

export interface WriteResult {
  readonly outcome: "created" | "extended" | "unchanged";
  /** The entry after the commit. */
  readonly entry: Entry;
}

export interface ListQuery extends ExpiryContext {
  readonly limit: number;
  readonly filter: ListFilter;
  /** The last entry of the page before; undefined for the first page. */
  readonly after: ListCursor | undefined;
  /** The time at which expiry is judged; undefined: now, by both clocks. */
  readonly asOf: EpochMs | undefined;
}

/** Conditions that must all hold; an undefined condition always holds. Bounds on the creation time exclude entries without such a time. */
export interface ListFilter {
  readonly includeExpired: boolean;
  /** Inclusive. */
  readonly createdAfter: EpochMs | undefined;
  /** Exclusive. */
  readonly createdBefore: EpochMs | undefined;
  readonly revokedBy: string | undefined;
  readonly keys: readonly EntryKey[] | undefined;
}

export interface ListCursor {
  readonly createdAt: EpochMs | null;
  readonly key: EntryKey;
}

export interface ListPage {
  readonly entries: readonly Entry[];
  readonly hasMore: boolean;
  /** The time at which expiry was judged. */
  readonly asOf: EpochMs;
}

export interface CountQuery extends ExpiryContext {
  readonly revokedBy: string;
  /** The largest count that is returned. */
  readonly limit: number;
}

/** See {@link Store.prune}. */
export interface PruneTask extends ExpiryContext {
  /** How long an entry that is no longer effective is kept. */
  readonly retentionMs: number;
  /** The maximum number of entries to delete or count. */
  readonly limit: number;
  /** Undefined: no further condition. */
  readonly expiredBefore: EpochMs | undefined;
  readonly dryRun: boolean;
  /** Awaited after each transaction that leaves more to do. Resolves to false when this call should end. */
  readonly mayContinueAfterPause?: () => Promise<boolean>;
}

/** Numbers of connections. */
export interface PoolUse {
  readonly used: number;
  readonly idle: number;
  /** The maximum of `used` and `idle` together. */
  readonly limit: number;
  /** The number of statements that wait for a connection. */
  readonly waiting: number;
}

export interface PruneResult {
  readonly count: number;
  /** Whether entries remain that a repeated call would delete. */
  readonly hasMore: boolean;
}
