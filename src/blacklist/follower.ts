import type { Logger } from "pino";
import type { Caller } from "../caller.ts";
import type { EntryKey, EpochMs } from "../entry.ts";
import { storeUnavailable } from "../errors.ts";
import { INDEX_RETRY_MS, OBSERVED_REVISIONS } from "../limits.ts";
import type { Revision } from "../revision.ts";
import { SharedRounds } from "../shared-rounds.ts";
import type { Changes, CommitResult, DatabaseState, Store, Tail, TailPosition } from "../store/store.ts";
import { type ClockReading, elapsedSince, readClocks } from "../time/clock-reading.ts";
import type { KnownEntries } from "../token-identity.ts";
import type { AcknowledgedCommits } from "./acknowledged-commits.ts";
import { EntryIndex, type EntryIndexOptions } from "./entry-index.ts";
import { loadAll } from "./index-loader.ts";
import { type Observer, type ReadEnd, UNOBSERVED } from "./observer.ts";
import { timeSliced } from "./time-slicing.ts";
import { COMMITS_LOST, HISTORY_CHANGED, READ_ONLY, STOPPED } from "./unavailability.ts";

/** Delay before loading the index again after a failure. */
export const LOAD_RETRY_MS = 250;
/** Pause after a failed read, so that an unavailable database does not get thousands of attempts a second. */
export const FAILED_READ_PAUSE_MS = 20;
/** Turns of the event loop by which a read is delayed while further calls join it: a burst arrives over several turns. */
export const READ_TURNS = 4;
/**
 * Commits from before the index was loaded that are logged too, if they have few rows, so that copies can resume after a restart of their
 * replica.
 */
const LOGGED_BEFORE_LOAD = [1000, 100, 10] as const;

/** A request for proof that the index has everything acknowledged before the request. */
export interface Waiter {
  /** The approximate cost of calling `proven`, in microseconds. */
  readonly cost: number;
  /** The caller whose call waits; absent if no call does. */
  readonly caller?: Caller;
  proven(state: DatabaseState): void;
  failed(error: unknown): void;
}

/**
 * - loading: the index is not complete yet.
 * - following: the index has everything that the database had at the last proof.
 * - rebuilding: the database has lost commits that the index holds. It holds entries that the database lacks, and may lack entries that the database has.
 * - overflowed: there are more entries than the index may hold. It is empty.
 */
export type Phase = "loading" | "following" | "rebuilding" | "overflowed";

interface Options extends EntryIndexOptions {
  readonly store: Store;
  /** Shared with the fallback, which looks up in the database what the index cannot answer. */
  readonly acknowledged: AcknowledgedCommits;
  readonly log: Logger;
  readonly maxEntries: number;
  readonly observer?: Observer;
  /** Called after each change of the phase. */
  readonly onPhase?: () => void;
}

/** The position after every commit. */
const END: TailPosition = { revision: Number.MAX_SAFE_INTEGER, key: new Uint8Array() };

/**
 * Keeps the index equal to the database by reading what changed since the last revision it has. A read that finds nothing left
 * proves the index current as of the moment the read was sent, and all requests made before that moment share the proof. One read
 * is in flight at a time, and only while there are requests. They come from checks, from the watch hub and, once a second, from the
 * database monitor. What this replica writes is in the index before it is acknowledged, and every later read has to find the commit in the database.
 */
export class Follower implements KnownEntries {
  readonly #options: Options;
  readonly #tail: Tail;
  readonly #observer: Observer;
  readonly #acknowledged: AcknowledgedCommits;
  readonly #entries: EntryIndex;
  #phase: Phase = "loading";
  #waiting: Waiter[] = [];
  readonly #reads: SharedRounds<readonly Waiter[]>;
  #cancelPause = () => {};
  #position: TailPosition = { revision: 0, key: new Uint8Array() };
  /** The last revision read from the database. A history that lacks it is not the one that the index was read from. */
  #seen: Revision | undefined;
  /** Everything up to this revision is in the index. */
  #applied: Revision | undefined;
  #provenAt: ClockReading | undefined;
  /** True once the index may hold entries that the database has lost; such an index is never dropped to save memory. */
  #hasLostEntries = false;
  /** True from when the index is dropped until it is complete again: entries that this replica has acknowledged may be missing from it. */
  #lacksAcknowledged = false;
  #saidKept = false;
  /** Stamps of the latest revisions that were read, or written here and found by a read, by revision number. */
  readonly #observed = new Map<number, string>();
  #cancelRetry = () => {};
  #problem: string | undefined;
  #stopped = false;

  constructor(options: Options) {
    this.#options = options;
    this.#observer = options.observer ?? UNOBSERVED;
    this.#acknowledged = options.acknowledged;
    this.#tail = options.store.openTail();
    this.#entries = new EntryIndex(options);
    this.#reads = new SharedRounds({
      take: () => (this.#waiting.length === 0 ? undefined : this.#takeWaiting()),
      send: (group) => this.#read(group),
      turns: READ_TURNS,
    });
  }

  get phase(): Phase {
    return this.#phase;
  }

  /** Whether the index may be used for answers: it holds everything that this replica has ever read or acknowledged. */
  get isComplete(): boolean {
    return this.#phase === "following" || this.#phase === "rebuilding";
  }

  /**
   * Everything acknowledged up to this revision is in the index, if it is complete. While rebuilding, this is a revision of the lost
   * history.
   */
  get applied(): Revision {
    if (this.#applied === undefined) throw new Error("the index was never complete");
    return this.#applied;
  }

  /** True once the index may hold entries that the database has lost. */
  get hasLostEntries(): boolean {
    return this.#hasLostEntries;
  }

  /** Milliseconds since the last proof; infinite if there was none, or if the proof does not hold any more. */
  get staleness(): number {
    return this.#provenAt === undefined
      ? Number.POSITIVE_INFINITY
      : elapsedSince(this.#provenAt, this.#options.clock);
  }

  /** How many commits were read that no read has proven complete yet; infinite unless following. */
  get lag(): number {
    if (this.#phase !== "following" || this.#seen === undefined) return Number.POSITIVE_INFINITY;
    return this.#seen.number - this.applied.number;
  }

  /** How many entries the index holds, expired or not. */
  get size(): number {
    return this.#entries.size;
  }

  /** How many entries are still effective, see {@link EntryIndex.countLive}. */
  countLive(): number {
    return this.#entries.countLive();
  }

  expiryOf(key: EntryKey): number {
    return this.#entries.expiryOf(key);
  }

  /** The entries of a part of the index, see {@link EntryIndex.visit}. */
  visit(place: number, each: (fingerprint: Int32Array, expiresAt: number) => void): number {
    return this.#entries.visit(place, each);
  }

  /** The key of the index's fingerprints. Throws if there never was an index. */
  get fingerprintKey(): Buffer {
    return this.#entries.fingerprintKey;
  }

  /** True if everything up to `revision` is in the index and the revision is known to be of this history. */
  reflects({ number, stamp }: Revision): boolean {
    return (
      this.#phase === "following" && number <= this.applied.number && this.#observed.get(number) === stamp
    );
  }

  /**
   * Adds the entries of a commit of this replica to the index, before its success is reported to any caller: afterwards every read
   * has to find the commit. `applied` does not move, since earlier commits of other replicas may still be unread. If
   * reads have passed the commit's revision without seeing it, another read looks for it. Throws STORE_UNAVAILABLE if that does not
   * find it: it may be lost.
   */
  acknowledged(result: CommitResult): void | Promise<void> {
    const { revision, results } = result;
    if (!this.#entries.isOpen && this.#phase !== "overflowed") {
      return this.#open().then(() => this.acknowledged(result));
    }
    const seen = this.#phase === "following" ? this.#seen : undefined;
    const isLate = seen !== undefined && revision.number <= seen.number;
    if (isLate && this.#observed.get(revision.number) !== revision.stamp) return this.#findLate(result);
    this.#entries.addCommitted(results.map(({ entry }) => entry));
    const added = this.#acknowledged.add(revision);
    // A read found the commit before its acknowledgement arrived here.
    if (isLate) this.#acknowledged.foundByFollower([revision]);
    return added;
  }

  /** Starts to load the index. */
  start(): void {
    void this.#load();
  }

  /** Requests proof by a read that is sent after this call. Fails at once unless following. */
  prove(waiter: Waiter): void {
    if (this.#phase !== "following" || this.#stopped) {
      waiter.failed(this.#stopped ? STOPPED : HISTORY_CHANGED);
      return;
    }
    this.#waiting.push(waiter);
    this.#reads.requested();
  }

  /** Reads the database's state by a read that is sent after this call. */
  databaseState(): Promise<DatabaseState> {
    return new Promise((resolve, reject) => this.prove({ cost: 1, proven: resolve, failed: reject }));
  }

  stop(): void {
    this.#stopped = true;
    this.#cancelRetry();
    this.#cancelPause();
    this.#tail.close();
    this.#options.changeLog.close();
    this.#fail(this.#takeWaiting(), STOPPED);
  }

  /** Creates the index before it is loaded. */
  async #open(): Promise<void> {
    const { secret } = await this.#options.store.open();
    if (this.#phase !== "overflowed") this.#entries.open(secret);
  }

  /**
   * What was read may be of a history that does not contain this commit. The next read has to find this commit and the last revision read; if it does not, the index
   * is rebuilt as after every loss.
   */
  async #findLate({ revision, results }: CommitResult): Promise<void> {
    await this.#acknowledged.add(revision);
    try {
      await this.databaseState();
    } catch (cause) {
      throw storeUnavailable("the commit was not found again in the database, which may have lost it", cause);
    }
    this.#entries.addCommitted(results.map(({ entry }) => entry));
  }

  #enter(phase: Phase): void {
    this.#phase = phase;
    this.#options.onPhase?.();
  }

  #takeWaiting(): readonly Waiter[] {
    const waiting = this.#waiting;
    this.#waiting = [];
    return waiting;
  }

  #fail(waiters: readonly Waiter[], error: unknown): void {
    timeSliced(waiters, (waiter) => waiter.failed(error));
  }

  #read(group: readonly Waiter[]): void {
    if (this.#phase !== "following" || this.#stopped) {
      this.#reads.ended();
      this.#fail(group, this.#stopped ? STOPPED : HISTORY_CHANGED);
      return;
    }
    const sentAt = readClocks(this.#options.clock);
    const required = this.#acknowledged.pending;
    this.#tail.changes(this.#position, this.#seen, required).then(
      (changes) => this.#arrived(changes, { group, sentAt, required }),
      (error: unknown) => {
        this.#observe("failed", { participants: group, sentAt });
        if (!this.#stopped) this.#pause();
        // The result is unknown, so the read proves nothing to any request.
        this.#fail(group, error);
      },
    );
  }

  /** Delays the next read: an unreachable database must not be asked a thousand times a second. */
  #pause(): void {
    this.#cancelPause = this.#options.clock.schedule(FAILED_READ_PAUSE_MS, () => this.#reads.ended());
  }

  #observe(
    end: ReadEnd,
    { participants, sentAt }: { participants: readonly Waiter[]; sentAt: ClockReading },
  ): void {
    const milliseconds = this.#options.clock.monotonic() - sentAt.monotonic;
    this.#observer.followed({ end, participants, milliseconds });
  }

  #arrived(
    changes: Changes,
    {
      group,
      sentAt,
      required,
    }: { group: readonly Waiter[]; sentAt: ClockReading; required: readonly Revision[] },
  ): void {
    this.#observe(endOf(changes), { participants: group, sentAt });
    this.#options.clocks.observe(changes.clock, sentAt.wall as EpochMs);
    if (!changes.intact) {
      this.#rebuild(group, required);
      return;
    }
    this.#advance(changes, required);
    if (changes.hasMore) {
      // The remaining pages may hold a change that a request must see: no request is answered yet, and `applied` does not move.
      this.#waiting = [...group, ...this.#waiting];
      this.#reads.ended();
      this.#entries.addRead(changes.entries);
      this.#options.changeLog.commit(undefined);
      return;
    }
    if (changes.writable) {
      this.#applied = changes.revision;
      this.#provenAt = sentAt;
    }
    this.#entries.addRead(changes.entries);
    // Before any subscription is told that it is up to date: its copy must have received this change by then.
    this.#options.changeLog.commit(changes.writable ? changes.revision : undefined);
    this.#checkSize();
    // Sends the next read before answering the requests, so that the database works meanwhile.
    this.#reads.ended();
    if (changes.writable) timeSliced(group, (waiter) => waiter.proven(changes));
    else this.#fail(group, READ_ONLY);
    this.#entries.sweep();
  }

  /** Records that the read has found all required commits; its revision stands for them from now on. */
  #advance({ revision, next }: Changes, required: readonly Revision[]): void {
    this.#position = next;
    this.#seen = revision;
    // A commit that was acknowledged while the read was in flight stays required for the next read, unless it is the revision at which this
    // read ended.
    const found = [...required, revision];
    this.#acknowledged.foundByFollower(found);
    for (const { number, stamp } of found) this.#observed.set(number, stamp);
    for (const oldest of this.#observed.keys()) {
      if (this.#observed.size <= OBSERVED_REVISIONS) break;
      this.#observed.delete(oldest);
    }
  }

  async #load(): Promise<void> {
    const { clock, log, store } = this.#options;
    const began = readClocks(clock);
    try {
      // Stamps of a lost history would be taken for stamps of this one.
      this.#observed.clear();
      this.#seen = undefined;
      const { secret } = await store.open();
      this.#entries.open(secret);
      await this.#begin();
      await loadAll(this.#tail, (entries) => {
        this.#entries.addRead(entries);
        this.#checkSize();
        if (this.#phase === "overflowed") throw new Error("the index is full");
      });
      await this.#catchUp();
      await this.#openLog();
      this.#lacksAcknowledged = false;
      this.#enter("following");
      this.#problem = undefined;
      log.info({ entries: this.size, duration_ms: Math.round(elapsedSince(began, clock)) }, "index loaded");
      this.#checkSize();
    } catch (error) {
      if (this.#stopped || this.#phase === "overflowed") return;
      this.#report(error);
      this.#cancelRetry = clock.schedule(LOAD_RETRY_MS, () => void this.#load());
    }
  }

  /** Reads the revision that is current before the first page: all later changes will be among the changes since that revision. */
  async #begin(): Promise<void> {
    const { required } = this.#acknowledged;
    this.#advance(await this.#readOn(END, required), required);
  }

  /** Applies the changes made while the pages were read. */
  async #catchUp(): Promise<void> {
    for (let hasMore = true; hasMore; ) {
      const { pending } = this.#acknowledged;
      const changes = await this.#readOn(this.#position, pending);
      this.#advance(changes, pending);
      this.#entries.addRead(changes.entries);
      hasMore = changes.hasMore;
      if (!hasMore) this.#applied = changes.revision;
    }
  }

  /**
   * Puts the latest changes from before the index was loaded into the change log, unless there are many. So a copy that followed
   * another replica can resume here. Not after a loss: the database cannot list the entries that only this index holds.
   */
  async #openLog(): Promise<void> {
    const { changeLog } = this.#options;
    for (const commits of this.#hasLostEntries ? [] : LOGGED_BEFORE_LOAD) {
      const since = Math.max(0, this.applied.number - commits);
      const { pending } = this.#acknowledged;
      const changes = await this.#readOn({ revision: since + 1, key: new Uint8Array() }, pending);
      if (changes.hasMore) continue;
      changeLog.open(since);
      this.#advance(changes, pending);
      this.#entries.addRead(changes.entries);
      this.#applied = changes.revision;
      changeLog.commit(changes.revision);
      return;
    }
    changeLog.open(this.applied.number);
  }

  /** One read while the index is loaded. Throws if the database has lost a commit that was read from it or acknowledged here. */
  async #readOn(from: TailPosition, required: readonly Revision[]): Promise<Changes> {
    const { clock, clocks } = this.#options;
    const sentAt = clock.now();
    const changes = await this.#tail.changes(from, this.#seen, required);
    clocks.observe(changes.clock, sentAt);
    if (changes.intact) return changes;
    if (this.#lacksAcknowledged) {
      // An index loaded without the lost entries would give negatives for them, and only the database can say what they are.
      this.#hasLostEntries ||= this.#seen !== undefined;
      throw COMMITS_LOST;
    }
    this.#applied ??= this.#seen ?? changes.revision;
    this.#lose(required);
    throw HISTORY_CHANGED;
  }

  /** From now on the index holds entries that the database lacks, including the entries of every commit acknowledged here. */
  #lose(required: readonly Revision[]): void {
    const known = [this.#seen, ...required].map((one) => one?.number ?? 0);
    this.#options.log.error(
      { revision: Math.max(...known) },
      "the database has lost commits that were read from it, or acknowledged by this replica: nothing is ruled out until the index holds both",
    );
    this.#enter("rebuilding");
    this.#hasLostEntries = true;
    this.#provenAt = undefined;
    this.#acknowledged.forget();
    this.#options.changeLog.close();
  }

  #rebuild(group: readonly Waiter[], required: readonly Revision[]): void {
    this.#lose(required);
    this.#fail(group, HISTORY_CHANGED);
    this.#reads.ended();
    void this.#load();
  }

  #checkSize(): void {
    const { clock, log, maxEntries } = this.#options;
    if (this.size <= maxEntries) return;
    if (this.#hasLostEntries) {
      this.#sayKept();
      return;
    }
    log.error(
      { entries: this.size, max: maxEntries },
      "the index is full: checks go to the database. Raise INDEX_MAX_ENTRIES, or prune",
    );
    this.#enter("overflowed");
    this.#lacksAcknowledged = true;
    this.#provenAt = undefined;
    this.#entries.drop();
    this.#options.changeLog.close();
    this.#cancelRetry = clock.schedule(INDEX_RETRY_MS, () => {
      this.#enter("loading");
      void this.#load();
    });
  }

  /** Logged once, because the condition lasts until the lost entries have expired. */
  #sayKept(): void {
    if (this.#saidKept) return;
    this.#saidKept = true;
    this.#options.log.warn(
      { entries: this.size, max: this.#options.maxEntries },
      "the index is larger than INDEX_MAX_ENTRIES and is kept: it alone knows what the database has lost",
    );
  }

  #report(error: unknown): void {
    const text = String(error);
    if (text !== this.#problem) this.#options.log.warn({ err: error }, "the index cannot be loaded yet");
    this.#problem = text;
  }
}

function endOf({ intact, hasMore, writable }: Changes): ReadEnd {
  if (!intact) return "lost";
  if (hasMore) return "more";
  return writable ? "proven" : "read-only";
}
