import type { Entry, EpochMs, Jti, NewEntry } from "../entry.ts";
import type { Revision } from "../revision.ts";

/**
 * Where the blacklist is kept: one table of entries, one order of commits. These comments are the contract, and
 * `test/store/contract.ts` holds every implementation to it.
 *
 * Every method throws `ServiceError` with reason STORE_UNAVAILABLE when the database cannot be reached, did not answer
 * in time, answered with any error that does not blame the statement or its data, refuses writes, is not the one this store was opened on,
 * or has sent fewer rows than it found, and recovers by itself once that is over.
 * No method ever answers from an earlier state. Any number of calls may run at once.
 */
export interface Store {
  /**
   * Connects, and checks that this version may use the schema. Raises the leeway that the database remembers
   * (the largest any replica ever ran with) to `leewayMs`. Every other method does this first by itself.
   * Throws `SchemaError` when the schema is too old, too new or absent; the others throw STORE_UNAVAILABLE then.
   */
  open(): Promise<Deployment>;

  /**
   * Adds or extends entries in one durable commit: all of them or none. Each jti may occur once. Returns only once the database
   * shows that commit: what a server says about a COMMIT is not relied on.
   *
   * An entry whose `expiresAt + leewayMs` lies in the past by both clocks counts as absent and is replaced whole. Of one that is
   * there, only `expiresAt` may change, and only to a later time. Repeats a commit whose answer was lost, without
   * doing it twice: of all the calls that ever ran for a jti exactly one learns "created", if its answer arrives.
   * When it throws STORE_UNAVAILABLE the entries may or may not have been stored; on any other error they have not.
   */
  write(entries: readonly NewEntry[], terms: Terms): Promise<Receipt>;

  /**
   * The expiries of those of `jtis` that are in the table, expired or not, in one read that reflects every commit
   * acknowledged, by any replica, before this call. No jtis at all is a way to ask whether the database is there. `required`
   * names commits, each once, that its history must contain, as {@link Sighting.intact} tells.
   */
  read(jtis: readonly Jti[], required?: readonly Revision[]): Promise<Sighting>;

  /**
   * Of `revisions`, those that this database's history does not contain: ahead of its last commit, or stamped differently.
   * A revision older than the oldest commit kept is believed, since nothing can tell any more.
   */
  missing(revisions: readonly Revision[]): Promise<Revision[]>;

  /** One page of entries, newest first: by `createdAt` descending (unknown last), then by the bytes of the jti, descending. */
  list(query: ListQuery): Promise<ListPage>;

  /** How many entries with this `revokedBy` have not expired, leeway included; counted up to `limit`. */
  countBy(query: CountQuery): Promise<number>;

  /**
   * Deletes, or with `dryRun` counts, up to `limit` entries for which `expiresAt + leeway + retentionMs` has passed by
   * both clocks and which expire before `expiredBefore`, where leeway is the larger of `leewayMs` and the one
   * the database remembers. Works in short transactions, for as long as `rest` says; any number may run at once, each entry is counted by one of them.
   * Throws STORE_UNAVAILABLE, deleting nothing, while the two clocks are further apart than `MAX_CLOCK_SKEW_MS`.
   */
  prune(request: PruneOrder): Promise<PruneReceipt>;

  /**
   * Since when `prune` could have deleted the entry that has waited longest, by the same terms; undefined where there is nothing to
   * delete. One look at the beginning of an index, however large the table.
   */
  oldestPrunable(terms: Terms & { readonly retentionMs: number }): Promise<EpochMs | undefined>;

  /** How the connections are used that List and Prune share. Asks nobody, and never throws. */
  readonly poolUse: PoolUse;

  /** What changes, for whoever keeps a copy of the blacklist; on a connection of its own, made when it is first needed. */
  openTail(): Tail;

  /** Ends every connection, those of tails too. Calls under way fail as unavailable. May be called twice. */
  close(): Promise<void>;
}

/**
 * The blacklist as a sequence of changes: every commit stamps the rows it creates or extends with its revision, so whoever has
 * all rows up to a revision lacks only rows with a later one. Rows leave by Prune alone, unseen. Throws as `Store` does.
 */
export interface Tail {
  /**
   * The entries that changed after `from`, in the order of (revision, jti), at most `TAIL_PAGE` of them, and how the database
   * stood: all in one statement, one snapshot. With `hasMore` false, nothing up to `revision` is left to be read.
   * An entry that changes again while pages are read comes again, later. `seen` is the last revision that was read, `required`
   * names further commits, each once, that this history must contain, ahead of `from` or not, as {@link Changes.intact} tells.
   */
  changes(from: TailPosition, seen: Revision | undefined, required?: readonly Revision[]): Promise<Changes>;

  /**
   * At most `SCAN_PAGE` entries in the order of their jtis, from the one after `after` on. Pages are not of one snapshot: whoever
   * reads all of them, and then the changes since a revision read before the first page, has missed nothing.
   */
  scan(after: Uint8Array): Promise<ScanPage>;

  /** Ends the connection. Calls under way fail as unavailable. */
  close(): void;
}

/** After the entry `jti` of the commit `revision`; an empty jti: from the beginning of that commit. */
export interface TailPosition {
  readonly revision: number;
  readonly jti: Uint8Array;
}

export interface TailEntry {
  /** Bytes of UTF-8. */
  readonly jti: Uint8Array;
  readonly expiresAt: EpochMs;
}

export interface Changes extends Standing {
  readonly entries: readonly TailEntry[];
  readonly hasMore: boolean;
  /** Where the next page begins. */
  readonly next: TailPosition;
  /**
   * True when the commit `seen` and all that are required are in this database's history; of these one that is older than the oldest commit
   * kept is believed, as by {@link Store.missing}. False: one was undone by a crash, a restore or a
   * failover, and everything read so far is of another history. True where no revision was named.
   */
  readonly intact: boolean;
}

export interface ScanPage {
  readonly entries: readonly TailEntry[];
  readonly hasMore: boolean;
}

/** What does not change while a database stays the same one. */
export interface Deployment {
  /** 32 hexadecimal digits, random, given once when the schema was made. */
  readonly generation: string;
  /** 32 random bytes that all replicas share; keys are derived from it. Never leaves the service. */
  readonly secret: Buffer;
  /** Something an operator should know, e.g. that the schema is newer than this version. */
  readonly remark: string | undefined;
}

/** What "expired" means for one call. */
export interface Terms {
  /** The service's own clock. An entry has expired only when this and the database's clock both say so. */
  readonly now: EpochMs;
  readonly leewayMs: number;
}

/** How the database stood when it answered. */
export interface Standing {
  /** Its last commit. */
  readonly revision: Revision;
  /** Its clock, in UTC. */
  readonly clock: EpochMs;
  /** False on a server that was demoted or made read-only: what it does not know proves nothing. */
  readonly writable: boolean;
}

export interface Sighting extends Standing {
  readonly expiries: ReadonlyMap<string, EpochMs>;
  /** True when all commits that were required are in this database's history. One that is older than the oldest commit kept is believed. */
  readonly intact: boolean;
}

export interface Receipt {
  /** A commit that holds these entries as they are shown: ours, or a later one where somebody has extended one since. */
  readonly revision: Revision;
  /** One for each entry written, in their order. */
  readonly results: readonly WriteResult[];
}

export interface WriteResult {
  readonly outcome: "created" | "extended" | "unchanged";
  /** The entry as it stands after the commit. */
  readonly entry: Entry;
}

export interface ListQuery extends Terms {
  readonly limit: number;
  readonly filter: ListFilter;
  /** The last entry of the page before; absent for the first page. */
  readonly after: ListCursor | undefined;
  /** The instant at which expiry is judged; absent: now, by both clocks. */
  readonly asOf: EpochMs | undefined;
}

/** Everything named must hold. */
export interface ListFilter {
  readonly includeExpired: boolean;
  /** Inclusive; an entry whose creation time is unknown does not match. */
  readonly createdAfter: EpochMs | undefined;
  /** Exclusive; an entry whose creation time is unknown does not match. */
  readonly createdBefore: EpochMs | undefined;
  readonly revokedBy: string | undefined;
  /** Only these; undefined: all. */
  readonly jtis: readonly Jti[] | undefined;
}

export interface ListCursor {
  readonly createdAt: EpochMs | null;
  readonly jti: Jti;
}

export interface ListPage {
  readonly entries: readonly Entry[];
  readonly hasMore: boolean;
  /** The instant at which expiry was judged. */
  readonly asOf: EpochMs;
}

export interface CountQuery extends Terms {
  readonly revokedBy: string;
  readonly limit: number;
}

export interface PruneOrder extends Terms {
  readonly retentionMs: number;
  readonly limit: number;
  readonly expiredBefore: EpochMs | undefined;
  readonly dryRun: boolean;
  /** Waited for after each transaction that leaves more to do. False: this call has done enough. Absent: never. */
  readonly rest?: () => Promise<boolean>;
}

export interface PoolUse {
  /** Connections that are at work, and those that are open and idle. */
  readonly used: number;
  readonly idle: number;
  /** How many there may be. */
  readonly limit: number;
  /** Statements that wait for a connection. */
  readonly waiting: number;
}

export interface PruneReceipt {
  readonly count: number;
  /** True when entries remain that the same order would delete. */
  readonly hasMore: boolean;
}
