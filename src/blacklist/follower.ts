import type { Logger } from "pino";
import type { Caller } from "../caller.ts";
import type { EpochMs, Jti } from "../entry.ts";
import { storeUnavailable } from "../errors.ts";
import { elapsedSince, type Instant, instantOf } from "../instant.ts";
import {
  FAILED_READ_PAUSE_MS,
  INDEX_RETRY_MS,
  LOAD_RETRY_MS,
  LOGGED_BEFORE_LOAD,
  OBSERVED_REVISIONS,
  READ_TURNS,
} from "../limits.ts";
import type { Revision } from "../revision.ts";
import type { Changes, Receipt, Standing, Store, Tail, TailPosition } from "../store/store.ts";
import type { AcknowledgedCommits } from "./acknowledged-commits.ts";
import { COMMITS_LOST, HISTORY_CHANGED, READ_ONLY, STOPPED } from "./doubt.ts";
import { HeldEntries, type HeldEntriesOptions } from "./held-entries.ts";
import { inTurns } from "./in-turns.ts";
import { loadAll } from "./index-loader.ts";
import { type Observer, type ReadEnd, UNOBSERVED } from "./observer.ts";

/** Whoever waits for proof that the index has everything that was acknowledged before they asked. */
export interface Waiter {
  /** How much work `proven` is, in microseconds, roughly. */
  readonly cost: number;
  /** Whose call waits; absent where no call does. */
  readonly caller?: Caller;
  proven(standing: Standing): void;
  failed(error: unknown): void;
}

/**
 * - loading: the index is not complete yet.
 * - following: it has all that the database had at the last proof.
 * - rebuilding: the database has lost commits that the index holds. The index knows more than the database, but not all of it.
 * - overflowed: there are more entries than the index may hold. It is empty.
 */
export type Phase = "loading" | "following" | "rebuilding" | "overflowed";

interface Options extends HeldEntriesOptions {
  readonly store: Store;
  /** Shared with those who look up in the database what the index cannot answer. */
  readonly acknowledged: AcknowledgedCommits;
  readonly log: Logger;
  readonly maxEntries: number;
  readonly observer?: Observer;
  /** Called whenever the phase has changed. */
  readonly onPhase?: () => void;
}

/** After every commit. */
const END: TailPosition = { revision: Number.MAX_SAFE_INTEGER, jti: new Uint8Array() };

/**
 * Keeps the index equal to the database by reading what changed since the last revision it has. A read that finds nothing left
 * proves the index current as of the moment when it was sent; all who asked before that share it. One read is under way at a
 * time, and only while somebody waits: the heartbeat, once a second, or a check. What this replica writes itself is in the index before
 * it is acknowledged, and every read after that has to find the commit in the database.
 */
export class Follower {
  readonly #options: Options;
  readonly #tail: Tail;
  readonly #observer: Observer;
  readonly #acknowledged: AcknowledgedCommits;
  readonly #entries: HeldEntries;
  #phase: Phase = "loading";
  #waiting: Waiter[] = [];
  #planned = false;
  #cancelPlan = () => {};
  #reading = false;
  /** By the monotonic clock. */
  #notBefore = Number.NEGATIVE_INFINITY;
  #position: TailPosition = { revision: 0, jti: new Uint8Array() };
  /** The last revision read from the database: what was read is of no history that lacks it. */
  #seen: Revision | undefined;
  /** Everything up to it is in the index. */
  #applied: Revision | undefined;
  #provenAt: Instant | undefined;
  /** True once it may hold what the database has lost: that is never given up to save memory. */
  #holdsLost = false;
  /** True from when the index was given up until it is complete again: entries that were acknowledged here may be missing from it. */
  #lacksAcknowledged = false;
  #saidKept = false;
  /** Stamps of the latest revisions that were read here, or written here and found, by their numbers. */
  readonly #observed = new Map<number, string>();
  #cancelRetry = () => {};
  #problem: string | undefined;
  #stopped = false;

  constructor(options: Options) {
    this.#options = options;
    this.#observer = options.observer ?? UNOBSERVED;
    this.#acknowledged = options.acknowledged;
    this.#tail = options.store.openTail();
    this.#entries = new HeldEntries(options);
  }

  get phase(): Phase {
    return this.#phase;
  }

  /** Whether what is in the index may be believed: it holds all that this service has ever known. */
  get isComplete(): boolean {
    return this.#phase === "following" || this.#phase === "rebuilding";
  }

  /** Everything acknowledged up to this revision is in the index. While rebuilding: it was, of the history that is lost. */
  get applied(): Revision {
    if (this.#applied === undefined) throw new Error("the index was never complete");
    return this.#applied;
  }

  /** True once the index may hold what the database has lost. */
  get holdsLost(): boolean {
    return this.#holdsLost;
  }

  /** Milliseconds since the index was proven current, at least; infinite where it never was, or may not be believed. */
  get staleness(): number {
    return this.#provenAt === undefined
      ? Number.POSITIVE_INFINITY
      : elapsedSince(this.#provenAt, this.#options.clock);
  }

  /** Commits that the database is known to have and the index lacks; infinite where it may not be believed. */
  get lag(): number {
    if (this.#phase !== "following" || this.#seen === undefined) return Number.POSITIVE_INFINITY;
    return this.#seen.number - this.applied.number;
  }

  /** How many entries the index holds, expired or not. */
  get size(): number {
    return this.#entries.size;
  }

  /** How many of them still answer, as {@link HeldEntries.countLive} has it. */
  countLive(): number {
    return this.#entries.countLive();
  }

  /** When the token expires or expired, in milliseconds since 1970; 0 where the index does not hold it. */
  expiryOf(jti: Jti): number {
    return this.#entries.expiryOf(jti);
  }

  /** The entries of a part of the index, as {@link HeldEntries.visit} has it. */
  visit(place: number, each: (print: Int32Array, expiresAt: number) => void): number {
    return this.#entries.visit(place, each);
  }

  /** The key of the index's fingerprints. Throws where there never was an index. */
  get key(): Buffer {
    return this.#entries.key;
  }

  /** True where everything up to `revision` is in the index, and the revision is known to be of this history. */
  reflects({ number, stamp }: Revision): boolean {
    return (
      this.#phase === "following" && number <= this.applied.number && this.#observed.get(number) === stamp
    );
  }

  /**
   * Takes over what this replica has written, before anybody is told of its success: afterwards the index holds the entries, and every
   * read has to find the commit. `applied` stays where it is: others' commits before this one are still to be read. Throws
   * STORE_UNAVAILABLE where the commit is not later than what was read meanwhile and is not found among it: it may be lost.
   */
  acknowledged(receipt: Receipt): void | Promise<void> {
    const { revision, results } = receipt;
    if (!this.#entries.isOpen && this.#phase !== "overflowed") {
      return this.#open().then(() => this.acknowledged(receipt));
    }
    const seen = this.#phase === "following" ? this.#seen : undefined;
    const isLate = seen !== undefined && revision.number <= seen.number;
    if (isLate && this.#observed.get(revision.number) !== revision.stamp) return this.#findLate(receipt);
    this.#entries.hold(results.map(({ entry }) => entry));
    const added = this.#acknowledged.add(revision);
    // It was found before it was known to be ours.
    if (isLate) this.#acknowledged.followed([revision]);
    return added;
  }

  /** Begins to load the index. */
  start(): void {
    void this.#load();
  }

  /** Asks for proof by a read that is sent later than now. Fails at once where the index may not be believed. */
  prove(waiter: Waiter): void {
    if (this.#phase !== "following" || this.#stopped) {
      waiter.failed(this.#stopped ? STOPPED : HISTORY_CHANGED);
      return;
    }
    this.#waiting.push(waiter);
    this.#plan();
  }

  /** How the database stands, by a read that is sent later than now. */
  standing(): Promise<Standing> {
    return new Promise((resolve, reject) => this.prove({ cost: 1, proven: resolve, failed: reject }));
  }

  stop(): void {
    this.#stopped = true;
    this.#cancelRetry();
    this.#cancelPlan();
    this.#tail.close();
    this.#options.changeLog.close();
    this.#fail(this.#takeWaiting(), STOPPED);
  }

  /** Has the index made before it is loaded. */
  async #open(): Promise<void> {
    const { secret } = await this.#options.store.open();
    if (this.#phase !== "overflowed") this.#entries.open(secret);
  }

  /**
   * What was read may be of a history that this commit is not in. The next read, which has to find both, tells; where it does not, the index
   * is rebuilt as after every loss.
   */
  async #findLate({ revision, results }: Receipt): Promise<void> {
    await this.#acknowledged.add(revision);
    try {
      await this.standing();
    } catch (cause) {
      throw storeUnavailable("the commit was not found again in the database, which may have lost it", cause);
    }
    this.#entries.hold(results.map(({ entry }) => entry));
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
    inTurns(waiters, (waiter) => waiter.failed(error));
  }

  /** The read goes out at the end of a turn of the event loop that brought nobody else: all who ask until then share it. */
  #plan(): void {
    if (this.#planned || this.#reading) return;
    this.#planned = true;
    let asked = this.#waiting.length;
    let turns = 1;
    const go = (): void => {
      if (this.#waiting.length > asked && turns < READ_TURNS) {
        asked = this.#waiting.length;
        turns++;
        setImmediate(go);
        return;
      }
      this.#planned = false;
      this.#read([]);
    };
    const pause = this.#notBefore - this.#options.clock.monotonic();
    if (pause > 0) this.#cancelPlan = this.#options.clock.schedule(pause, go);
    else setImmediate(go);
  }

  #read(carried: readonly Waiter[]): void {
    // Taken off the list before the read is sent: it proves nothing to those who come later.
    const group = [...carried, ...this.#takeWaiting()];
    if (this.#phase !== "following" || this.#stopped) {
      this.#fail(group, this.#stopped ? STOPPED : HISTORY_CHANGED);
      return;
    }
    this.#reading = true;
    const sentAt = instantOf(this.#options.clock);
    const required = this.#acknowledged.pending;
    this.#tail.changes(this.#position, this.#seen, required).then(
      (changes) => {
        this.#reading = false;
        this.#arrived(changes, { group, sentAt, required });
      },
      (error: unknown) => {
        this.#reading = false;
        this.#observe("failed", { sharing: group, sentAt });
        // A database that is away must not be tried a thousand times a second.
        this.#notBefore = this.#options.clock.monotonic() + FAILED_READ_PAUSE_MS;
        if (this.#waiting.length > 0) this.#plan();
        // What the read would have shown is unknown: it satisfies nobody.
        this.#fail(group, error);
      },
    );
  }

  #observe(end: ReadEnd, { sharing, sentAt }: { sharing: readonly Waiter[]; sentAt: Instant }): void {
    const milliseconds = this.#options.clock.monotonic() - sentAt.monotonic;
    this.#observer.followed({ end, sharing, milliseconds });
  }

  #arrived(
    changes: Changes,
    { group, sentAt, required }: { group: readonly Waiter[]; sentAt: Instant; required: readonly Revision[] },
  ): void {
    this.#observe(endOf(changes), { sharing: group, sentAt });
    this.#options.clocks.observe(changes.clock, sentAt.wall as EpochMs);
    if (!changes.intact) {
      this.#rebuild(group, required);
      return;
    }
    this.#advance(changes, required);
    if (changes.hasMore) {
      // The rest may hold what somebody must see, so nobody is answered, and `applied` stays where it is.
      this.#read(group);
      this.#entries.take(changes.entries);
      this.#options.changeLog.commit(undefined);
      return;
    }
    if (changes.writable) {
      this.#applied = changes.revision;
      this.#provenAt = sentAt;
    }
    this.#entries.take(changes.entries);
    // Before anybody is told that this was all: whoever keeps a copy has to have it by then.
    this.#options.changeLog.commit(changes.writable ? changes.revision : undefined);
    this.#checkSize();
    // The database is asked again before those who wait are answered: it works meanwhile.
    if (this.#phase === "following" && this.#waiting.length > 0) this.#read([]);
    if (changes.writable) inTurns(group, (waiter) => waiter.proven(changes));
    else this.#fail(group, READ_ONLY);
    if (this.#phase !== "following") this.#fail(this.#takeWaiting(), HISTORY_CHANGED);
    this.#entries.sweep();
  }

  /** The read has found what was required of it, and stands for it from now on. */
  #advance({ revision, next }: Changes, required: readonly Revision[]): void {
    this.#position = next;
    this.#seen = revision;
    // A commit that was acknowledged while the read was under way is one that the next read has to find, unless this one ends with it.
    const found = [...required, revision];
    this.#acknowledged.followed(found);
    for (const { number, stamp } of found) this.#observed.set(number, stamp);
    for (const oldest of this.#observed.keys()) {
      if (this.#observed.size <= OBSERVED_REVISIONS) break;
      this.#observed.delete(oldest);
    }
  }

  async #load(): Promise<void> {
    const { clock, log, store } = this.#options;
    const began = instantOf(clock);
    try {
      // Stamps of a history that is lost would be taken for this one's.
      this.#observed.clear();
      this.#seen = undefined;
      const { secret } = await store.open();
      this.#entries.open(secret);
      await this.#begin();
      await loadAll(this.#tail, (entries) => {
        this.#entries.take(entries);
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

  /** The revision that is current before the first page is read: whatever changes later will be among the changes since. */
  async #begin(): Promise<void> {
    const { required } = this.#acknowledged;
    this.#advance(await this.#readOn(END, required), required);
  }

  /** Takes over what changed while the pages were read. */
  async #catchUp(): Promise<void> {
    for (let hasMore = true; hasMore; ) {
      const { pending } = this.#acknowledged;
      const changes = await this.#readOn(this.#position, pending);
      this.#advance(changes, pending);
      this.#entries.take(changes.entries);
      hasMore = changes.hasMore;
      if (!hasMore) this.#applied = changes.revision;
    }
  }

  /**
   * Logs what changed last before the index was there, unless it is much: whoever kept a copy at another replica, which may be gone,
   * goes on here. Not after a loss, since the database does not tell any more what this index has beside it.
   */
  async #openLog(): Promise<void> {
    const { changeLog } = this.#options;
    for (const commits of this.#holdsLost ? [] : LOGGED_BEFORE_LOAD) {
      const since = Math.max(0, this.applied.number - commits);
      const { pending } = this.#acknowledged;
      const changes = await this.#readOn({ revision: since + 1, jti: new Uint8Array() }, pending);
      if (changes.hasMore) continue;
      changeLog.open(since);
      this.#advance(changes, pending);
      this.#entries.take(changes.entries);
      this.#applied = changes.revision;
      changeLog.commit(changes.revision);
      return;
    }
    changeLog.open(this.applied.number);
  }

  /** One read while the index is loaded. Throws where the database has lost what was read from it, or acknowledged here. */
  async #readOn(from: TailPosition, required: readonly Revision[]): Promise<Changes> {
    const { clock, clocks } = this.#options;
    const sentAt = clock.now();
    const changes = await this.#tail.changes(from, this.#seen, required);
    clocks.observe(changes.clock, sentAt);
    if (changes.intact) return changes;
    if (this.#lacksAcknowledged) {
      // An index that is loaded without them would rule them out, and nobody but the database can tell what they are.
      this.#holdsLost ||= this.#seen !== undefined;
      throw COMMITS_LOST;
    }
    this.#applied ??= this.#seen ?? changes.revision;
    this.#lose(required);
    throw HISTORY_CHANGED;
  }

  /** The index holds more than the database from now on, the entries of all that was acknowledged here among it. */
  #lose(required: readonly Revision[]): void {
    const known = [this.#seen, ...required].map((one) => one?.number ?? 0);
    this.#options.log.error(
      { revision: Math.max(...known) },
      "the database has lost commits that were read from it, or acknowledged by this replica: nothing is ruled out until the index holds both",
    );
    this.#enter("rebuilding");
    this.#holdsLost = true;
    this.#provenAt = undefined;
    this.#acknowledged.forget();
    this.#options.changeLog.close();
  }

  #rebuild(group: readonly Waiter[], required: readonly Revision[]): void {
    this.#lose(required);
    this.#fail([...group, ...this.#takeWaiting()], HISTORY_CHANGED);
    void this.#load();
  }

  #checkSize(): void {
    const { clock, log, maxEntries } = this.#options;
    if (this.size <= maxEntries) return;
    if (this.#holdsLost) {
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

  /** Once: it may be so for as long as what was lost has not expired. */
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
