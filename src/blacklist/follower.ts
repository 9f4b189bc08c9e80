import { setImmediate as nextTurn } from "node:timers/promises";
import type { Logger } from "pino";
import type { Caller } from "../caller.ts";
import { storeUnavailable } from "../errors.ts";
import { INDEX_RETRY_MS, KEPT_STAMPS } from "../limits.ts";
import type { Revision } from "../revision.ts";
import { SharedRounds } from "../shared-rounds.ts";
import {
  BEFORE_ALL_KEYS,
  type Changes,
  type CommitResult,
  type DatabaseState,
  type Store,
  type Tail,
  type TailPosition,
} from "../store/store.ts";
import { type ClockReading, elapsedSince, readClocks } from "../time/clock.ts";
import type { AcknowledgedCommits } from "./acknowledged-commits.ts";
import { EntryIndex, type EntryIndexOptions } from "./entry-index.ts";
import type { Observer, ReadEnd } from "./observer.ts";
import { timeSliced } from "./time-slicing.ts";
import { COMMITS_LOST, NOT_FOLLOWING, READ_ONLY, STOPPED } from "./unavailability.ts";

/** Delay before loading the index again after a failure. */
export const LOAD_RETRY_MS = 250;
/** Pause after a failed read, so that an unreachable database is not asked thousands of times a second. */
export const FAILED_READ_PAUSE_MS = 20;
/** The most turns of the event loop for which a read waits while further calls arrive: a burst arrives over several turns. */
export const READ_TURNS = 4;
/** How many commits before the load are logged too, if they fit into one page: the largest number first. Copies resume here after a restart. */
const LOGGED_BEFORE_LOAD = [1000, 100, 10] as const;

/** A request for proof that the index has everything acknowledged before the request. */
export interface Waiter {
  /** The cost of calling `proven`, in microseconds. */
  readonly cost: number;
  /** The caller whose call waits; absent if no call does. */
  readonly caller?: Caller;
  proven(state: DatabaseState): void;
  failed(error: unknown): void;
}

/**
 * - loading: the index is not complete yet.
 * - following: the index has everything that the database had at the last proof.
 * - rebuilding: the database has lost commits that the index holds. The index holds entries that the database lacks, and may lack entries
 *   that the database has.
 * - overflowed: there are more entries than the index may hold. It is empty.
 */
export type Phase = "loading" | "following" | "rebuilding" | "overflowed";

/** A read in flight. */
interface Read {
  readonly waiters: readonly Waiter[];
  readonly sentAt: ClockReading;
  /** The commits that the read has to find, besides the last revision seen. */
  readonly required: readonly Revision[];
}

interface Options extends EntryIndexOptions {
  readonly store: Store;
  /** Shared with the fallback. */
  readonly acknowledged: AcknowledgedCommits;
  readonly log: Logger;
  readonly maxEntries: number;
  readonly observer?: Observer;
  /** Called after each change of the phase. */
  readonly onPhase?: () => void;
}

/** The position after all commits. */
const END: TailPosition = { revision: Number.MAX_SAFE_INTEGER, key: BEFORE_ALL_KEYS };

/**
 * Keeps the index equal to the database by reading what changed since the last revision it has. A read that finds nothing left proves the
 * index current as of the moment the read was sent, and all requests made before that moment share the proof. One read is in flight at a
 * time, and only while there are requests. They come from checks, from the streams of Watch and, once a second, from the database monitor.
 * A commit of this replica is in the index before it is acknowledged, and every later read has to find it in the database.
 */
export class Follower {
  /** The entries of the index. Only the follower changes them. */
  readonly entries: EntryIndex;
  readonly #options: Options;
  readonly #tail: Tail;
  readonly #acknowledged: AcknowledgedCommits;
  #phase: Phase = "loading";
  /** The waiters of the next read. */
  #waiters: Waiter[] = [];
  readonly #reads: SharedRounds<readonly Waiter[]>;
  #cancelPause = () => {};
  #position: TailPosition = { revision: 0, key: BEFORE_ALL_KEYS };
  /** The last revision read from the database. A history that lacks it is not the one that the index was read from. */
  #seen: Revision | undefined;
  /** Everything up to this revision is in the index. */
  #applied: Revision | undefined;
  #provenAt: ClockReading | undefined;
  /** True once the index may hold entries that the database has lost; such an index is never dropped to save memory. */
  #hasLostEntries = false;
  /** True from when the index is dropped until it is complete again: it may lack entries that this replica has acknowledged. */
  #lacksAcknowledged = false;
  #hasWarnedOfSize = false;
  /** By revision number, the stamps of the latest revisions that were read, or written here and found by a read. */
  readonly #knownStamps = new Map<number, string>();
  #cancelRetry = () => {};
  /** The error of a failed load that was last logged. */
  #loggedError: string | undefined;
  #stopped = false;

  constructor(options: Options) {
    this.#options = options;
    this.#acknowledged = options.acknowledged;
    this.#tail = options.store.openTail();
    this.entries = new EntryIndex(options);
    this.#reads = new SharedRounds({
      take: () => (this.#waiters.length === 0 ? undefined : this.#takeWaiters()),
      send: (waiters) => this.#read(waiters),
      maxTurns: READ_TURNS,
      clock: options.clock,
    });
  }

  get phase(): Phase {
    return this.#phase;
  }

  /** Whether the index may answer: it holds everything that this replica has ever read or acknowledged. */
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

  get hasLostEntries(): boolean {
    return this.#hasLostEntries;
  }

  /** Milliseconds since the last proof; infinite if there was none, or if the proof does not hold any more. */
  get staleness(): number {
    return this.#provenAt === undefined
      ? Number.POSITIVE_INFINITY
      : elapsedSince(this.#provenAt, this.#options.clock);
  }

  /** By how many commits the last read is ahead of `applied`; infinite unless following. */
  get lag(): number {
    if (this.#phase !== "following" || this.#seen === undefined) return Number.POSITIVE_INFINITY;
    return this.#seen.number - this.applied.number;
  }

  /** True if everything up to `revision` is in the index and the revision is known to be of this history. */
  reflects({ number, stamp }: Revision): boolean {
    return (
      this.#phase === "following" && number <= this.applied.number && this.#knownStamps.get(number) === stamp
    );
  }

  /**
   * Adds the entries of a commit of this replica to the index, before its success is reported to any caller: afterwards every read
   * has to find the commit. `applied` does not move, since earlier commits of other replicas may still be unread. If reads have passed
   * the commit's revision without seeing its stamp, another read looks for it. Throws STORE_UNAVAILABLE if that read does not find it: it may
   * be lost.
   */
  addOwnCommit(result: CommitResult): void | Promise<void> {
    const { revision, results } = result;
    if (!this.entries.isOpen && this.#phase !== "overflowed") {
      return this.#openEntries().then(() => this.addOwnCommit(result));
    }
    const seen = this.#phase === "following" ? this.#seen : undefined;
    // A read has passed the commit's revision before the commit's result arrived.
    const isPassed = seen !== undefined && revision.number <= seen.number;
    if (isPassed && this.#knownStamps.get(revision.number) !== revision.stamp)
      return this.#findPassed(result);
    this.entries.addUnlogged(results.map(({ entry }) => entry));
    const added = this.#acknowledged.add(revision);
    if (isPassed) this.#acknowledged.foundByFollower([revision]);
    return added;
  }

  start(): void {
    void this.#load();
  }

  /** Requests proof by a read that is sent after this call. Fails at once unless following. */
  prove(waiter: Waiter): void {
    if (this.#phase !== "following" || this.#stopped) {
      waiter.failed(this.#stopped ? STOPPED : NOT_FOLLOWING);
      return;
    }
    this.#waiters.push(waiter);
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
    this.#fail(this.#takeWaiters(), STOPPED);
  }

  async #openEntries(): Promise<void> {
    const { secret } = await this.#options.store.open();
    if (this.#phase !== "overflowed") this.entries.open(secret);
  }

  /**
   * The reads may be of a history that does not contain this commit. The next read has to find this commit and the last revision read;
   * otherwise the index is rebuilt, as after every loss.
   */
  async #findPassed({ revision, results }: CommitResult): Promise<void> {
    await this.#acknowledged.add(revision);
    try {
      await this.databaseState();
    } catch (cause) {
      throw storeUnavailable("the commit was not found again in the database, which may have lost it", cause);
    }
    this.entries.addUnlogged(results.map(({ entry }) => entry));
  }

  #enter(phase: Phase): void {
    this.#phase = phase;
    this.#options.onPhase?.();
  }

  #takeWaiters(): readonly Waiter[] {
    const waiters = this.#waiters;
    this.#waiters = [];
    return waiters;
  }

  #fail(waiters: readonly Waiter[], error: unknown): void {
    timeSliced(waiters, (waiter) => waiter.failed(error));
  }

  #read(waiters: readonly Waiter[]): void {
    if (this.#phase !== "following" || this.#stopped) {
      this.#reads.ended();
      this.#fail(waiters, this.#stopped ? STOPPED : NOT_FOLLOWING);
      return;
    }
    // The last revision seen stands for the acknowledged commits that reads have found.
    const required = this.#acknowledged.unconfirmed;
    const { clock } = this.#options;
    const read = { waiters, sentAt: readClocks(clock), required };
    this.#tail.changes(this.#position, this.#seen, required).then(
      (changes) => this.#arrived(changes, read),
      (error: unknown) => {
        this.#reportEnd("failed", read);
        if (!this.#stopped)
          this.#cancelPause = clock.schedule(FAILED_READ_PAUSE_MS, () => this.#reads.ended());
        // The result is unknown, so the read proves nothing to any request.
        this.#fail(waiters, error);
      },
    );
  }

  #reportEnd(end: ReadEnd, { waiters, sentAt }: Read): void {
    const milliseconds = this.#options.clock.monotonic() - sentAt.monotonic;
    this.#options.observer?.followed({ end, participants: waiters, milliseconds });
  }

  #arrived(changes: Changes, read: Read): void {
    const { changeLog, clockBounds } = this.#options;
    const { waiters, sentAt, required } = read;
    this.#reportEnd(endOf(changes), read);
    clockBounds.record(changes.clock, sentAt.wall);
    if (!changes.intact) {
      this.#rebuild(read);
      return;
    }
    this.#advance(changes, required);
    if (changes.hasMore) {
      // The remaining pages may hold a change that a request must see: no request is answered yet, and `applied` does not move.
      this.#waiters = [...waiters, ...this.#waiters];
      this.#reads.ended();
      this.entries.addAndLog(changes.entries);
      changeLog.endChange(undefined);
      return;
    }
    // A server that takes no writes may lag behind the one that does, so it proves nothing.
    if (changes.writable) {
      this.#applied = changes.revision;
      this.#provenAt = sentAt;
    }
    this.entries.addAndLog(changes.entries);
    // Before any subscription is told that it is up to date: its copy must have received this change by then.
    changeLog.endChange(changes.writable ? changes.revision : undefined);
    this.#checkSize();
    // Sends the next read before answering the requests, so that the database works meanwhile.
    this.#reads.ended();
    if (changes.writable) timeSliced(waiters, (waiter) => waiter.proven(changes));
    else this.#fail(waiters, READ_ONLY);
    this.entries.sweep();
  }

  /** Records that the read has found all required commits; its revision stands for them from now on. */
  #advance({ revision, next }: Changes, required: readonly Revision[]): void {
    this.#position = next;
    this.#seen = revision;
    // A commit that was acknowledged while the read was in flight stays required for the next read, unless it is the last one that this
    // read saw.
    const found = [...required, revision];
    this.#acknowledged.foundByFollower(found);
    for (const { number, stamp } of found) this.#knownStamps.set(number, stamp);
    for (const oldest of this.#knownStamps.keys()) {
      if (this.#knownStamps.size <= KEPT_STAMPS) break;
      this.#knownStamps.delete(oldest);
    }
  }

  async #load(): Promise<void> {
    const { clock, log, store } = this.#options;
    const began = readClocks(clock);
    try {
      // Stamps of a lost history would be taken for stamps of this one.
      this.#knownStamps.clear();
      this.#seen = undefined;
      const { secret } = await store.open();
      this.entries.open(secret);
      await this.#skipToEnd();
      await this.#readTable();
      await this.#catchUp();
      await this.#openLog();
      this.#lacksAcknowledged = false;
      this.#enter("following");
      this.#loggedError = undefined;
      log.info(
        { entries: this.entries.size, duration_ms: Math.round(elapsedSince(began, clock)) },
        "index loaded",
      );
      this.#checkSize();
    } catch (error) {
      if (this.#stopped || this.#phase === "overflowed") return;
      this.#logError(error);
      this.#cancelRetry = clock.schedule(LOAD_RETRY_MS, () => void this.#load());
    }
  }

  /** Reads the revision that is current before the first page: all later changes will be among the changes since that revision. */
  async #skipToEnd(): Promise<void> {
    // All acknowledged commits, because no revision has been seen that could stand for those found before.
    const { required } = this.#acknowledged;
    this.#advance(await this.#readWhileLoading(END, required), required);
  }

  /** Reads every entry of the table in pages, with a turn of the event loop after each. */
  async #readTable(): Promise<void> {
    let page = await this.#tail.scan(BEFORE_ALL_KEYS);
    for (;;) {
      const last = page.entries.at(-1);
      // The database reads the next page while this one is processed.
      const next = page.hasMore && last !== undefined ? this.#tail.scan(last.key) : undefined;
      next?.catch(() => {});
      this.entries.addAndLog(page.entries);
      this.#checkSize();
      if (this.#phase === "overflowed") throw new Error("the index is full");
      if (next === undefined) return;
      await nextTurn();
      page = await next;
    }
  }

  /** Applies the changes made while the pages were read. */
  async #catchUp(): Promise<void> {
    for (let hasMore = true; hasMore; ) {
      const { unconfirmed } = this.#acknowledged;
      const changes = await this.#readWhileLoading(this.#position, unconfirmed);
      this.#advance(changes, unconfirmed);
      this.entries.addAndLog(changes.entries);
      hasMore = changes.hasMore;
      if (!hasMore) this.#applied = changes.revision;
    }
  }

  /**
   * Opens the change log with the latest changes from before the index was loaded, unless there are many: a client's copy that followed
   * another replica can then resume here. After a loss it opens empty, since the database cannot list the entries that only this index holds.
   */
  async #openLog(): Promise<void> {
    const { changeLog } = this.#options;
    for (const commits of this.#hasLostEntries ? [] : LOGGED_BEFORE_LOAD) {
      const since = Math.max(0, this.applied.number - commits);
      const { unconfirmed } = this.#acknowledged;
      const changes = await this.#readWhileLoading(
        { revision: since + 1, key: BEFORE_ALL_KEYS },
        unconfirmed,
      );
      if (changes.hasMore) continue;
      changeLog.open(since);
      this.#advance(changes, unconfirmed);
      this.entries.addAndLog(changes.entries);
      this.#applied = changes.revision;
      changeLog.endChange(changes.revision);
      return;
    }
    changeLog.open(this.applied.number);
  }

  /** One read while the index is loaded. Throws if the database has lost a commit that was read from it or acknowledged here. */
  async #readWhileLoading(from: TailPosition, required: readonly Revision[]): Promise<Changes> {
    const { clock, clockBounds } = this.#options;
    const sentAt = clock.now();
    const changes = await this.#tail.changes(from, this.#seen, required);
    clockBounds.record(changes.clock, sentAt);
    if (changes.intact) return changes;
    if (this.#lacksAcknowledged) {
      // The index was dropped, so it lacks the lost entries too: negatives would be wrong.
      this.#hasLostEntries ||= this.#seen !== undefined;
      throw COMMITS_LOST;
    }
    this.#applied ??= this.#seen ?? changes.revision;
    this.#recordLoss(required);
    throw NOT_FOLLOWING;
  }

  /** From now on the index holds entries that the database lacks, including the entries of every commit acknowledged here. */
  #recordLoss(required: readonly Revision[]): void {
    const known = [this.#seen, ...required].map((one) => one?.number ?? 0);
    this.#options.log.error(
      { revision: Math.max(...known) },
      "the database has lost commits that were read from it, or acknowledged by this replica: no token is reported as not blacklisted until the index holds the lost and the current entries",
    );
    this.#enter("rebuilding");
    this.#hasLostEntries = true;
    this.#provenAt = undefined;
    this.#acknowledged.forget();
    this.#options.changeLog.close();
  }

  #rebuild({ waiters, required }: Read): void {
    this.#recordLoss(required);
    this.#fail(waiters, NOT_FOLLOWING);
    this.#reads.ended();
    void this.#load();
  }

  #checkSize(): void {
    const { clock, log, maxEntries } = this.#options;
    if (this.entries.size <= maxEntries) return;
    if (this.#hasLostEntries) {
      // Logged once, because the condition lasts until the lost entries have expired.
      if (!this.#hasWarnedOfSize) {
        log.warn(
          { entries: this.entries.size, max: maxEntries },
          "the index is larger than INDEX_MAX_ENTRIES and is kept: it alone knows what the database has lost",
        );
      }
      this.#hasWarnedOfSize = true;
      return;
    }
    log.error(
      { entries: this.entries.size, max: maxEntries },
      "the index is full: checks go to the database. Raise INDEX_MAX_ENTRIES, or prune",
    );
    this.#enter("overflowed");
    this.#lacksAcknowledged = true;
    this.#provenAt = undefined;
    this.entries.drop();
    this.#options.changeLog.close();
    this.#cancelRetry = clock.schedule(INDEX_RETRY_MS, () => {
      this.#enter("loading");
      void this.#load();
    });
  }

  #logError(error: unknown): void {
    const text = String(error);
    if (text !== this.#loggedError) this.#options.log.warn({ err: error }, "the index cannot be loaded yet");
    this.#loggedError = text;
  }
}

function endOf({ intact, hasMore, writable }: Changes): ReadEnd {
  if (!intact) return "lost";
  if (hasMore) return "more";
  return writable ? "proven" : "read-only";
}
