import type { EntryKey, EpochMs } from "../../entry.ts";
import { COMMIT_RETENTION_MS, KEPT_STAMPS, SWEEP_INDEX_SEGMENTS } from "../../limits.ts";
import { type Clock, type ClockReading, elapsedBetween, elapsedSince } from "../../time/clock.ts";
import { ClockBounds } from "../../time/clock-bounds.ts";
import { type KnownEntries, matchingExpiry } from "../../token-identity.ts";
import { TokenIndex } from "../../token-index/token-index.ts";
import { identityOf, type TokenInput } from "../checked-tokens.ts";

/** A copy whose last proof is older than this starts over: the service can detect a restored database for a day ({@link COMMIT_RETENTION_MS}). */
export const MAX_RESUME_MS = COMMIT_RETENTION_MS / 2;

/** The entries of one blacklist, which is identified by the key of its fingerprints. */
interface Table {
  readonly fingerprintKey: Uint8Array;
  readonly index: TokenIndex;
}

/** The message `opened`. It says what the service is about to send: a snapshot, or the changes since the cursor. */
export interface Opened {
  readonly isSnapshot: boolean;
  /** The key of the fingerprints that follow. Another key than before means another blacklist. */
  readonly fingerprintKey: Uint8Array;
}

/** The position at which a copy resumes after its stream has ended. */
export interface CopyCursor {
  readonly revision: string;
  readonly fingerprintKey: Uint8Array;
}

/**
 * A local copy of the blacklist, and the time as of which it was last proven complete. Entries are only added, and removed when
 * they have expired by both this machine's clock and the service's, so a copy that was complete as of some time remains complete as of
 * that time.
 */
export class CopiedEntries implements KnownEntries {
  readonly #clock: Clock;
  readonly #clockBounds: ClockBounds;
  #table: Table | undefined;
  /** Tables of blacklists that the service no longer serves: their tokens stay revoked until they expire. */
  #formerTables: readonly Table[] = [];
  #isComplete = false;
  #isLoading = false;
  #revision: string | undefined;
  /** The latest revisions that the copy reflects. */
  readonly #reflected = new Set<string>();
  #provenAt: ClockReading | undefined;
  #version = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#clockBounds = new ClockBounds(clock);
  }

  /** Whether the copy has been filled under its current fingerprint key. Only then does it give negatives; they are as fresh as its proof. */
  get isComplete(): boolean {
    return this.#isComplete;
  }

  /** Whether a snapshot is being received. */
  get isLoading(): boolean {
    return this.#isLoading;
  }

  /** The number of entries, expired or not. */
  get size(): number {
    return this.#tables.reduce((sum, { index }) => sum + index.size, 0);
  }

  get tableCount(): number {
    return this.#tables.length;
  }

  get #tables(): readonly Table[] {
    return this.#table === undefined ? this.#formerTables : [this.#table, ...this.#formerTables];
  }

  /** While this number is unchanged, a token that was not blacklisted is still not blacklisted. */
  get version(): number {
    return this.#version;
  }

  /** The position at which to resume; undefined if a snapshot is needed. */
  get cursor(): CopyCursor | undefined {
    if (this.#table === undefined || this.#revision === undefined) return undefined;
    // After so long, the service might not notice that its database was restored in between.
    if (this.#provenAt !== undefined && this.stalenessMs > MAX_RESUME_MS) return undefined;
    return { revision: this.#revision, fingerprintKey: this.#table.fingerprintKey };
  }

  /** Milliseconds since the last proof; infinite if there was none. */
  get stalenessMs(): number {
    return this.#provenAt === undefined
      ? Number.POSITIVE_INFINITY
      : elapsedSince(this.#provenAt, this.#clock);
  }

  /** Whether an entry blacklists the token now. False for a token that is not valid. */
  isBlacklisted(token: TokenInput): boolean {
    const until = matchingExpiry(identityOf(token), this);
    return until > 0 && this.#isInFuture(until, this.#clock.now());
  }

  /** true: blacklisted. false: not blacklisted as of a proof at most `maxStalenessMs` old. undefined: unknown, or the token is not valid. */
  peek(token: TokenInput, maxStalenessMs: number): boolean | undefined {
    // Read before the look-up: a clock read after it would first wait for the memory access of the look-up.
    const wall = this.#clock.now();
    const until = matchingExpiry(identityOf(token), this);
    if (until < 0) return undefined;
    if (until !== 0 && this.#isInFuture(until, wall)) return true;
    if (!this.#isComplete || this.#provenAt === undefined) return undefined;
    const elapsedMs = elapsedBetween(this.#provenAt, { monotonic: this.#clock.monotonic(), wall });
    return elapsedMs <= maxStalenessMs ? false : undefined;
  }

  /** When the entry with this key stops being BLACKLISTED, in milliseconds since 1970; 0 if there is none; negative if there is no copy, or `key` is not valid. */
  expiryOf(key: EntryKey): number {
    const index = this.#table?.index;
    const fingerprint = index?.fingerprintIfKey(key);
    if (index === undefined || fingerprint === undefined) return -1;
    const until = index.expiryOfFingerprint(fingerprint);
    if (this.#formerTables.length === 0) return until;
    return Math.max(until, ...this.#formerTables.map((former) => former.index.expiryOf(key)));
  }

  reflects(revision: string): boolean {
    return this.#reflected.has(revision);
  }

  /** Records the service's time, in milliseconds since 1970. */
  recordServiceTime(time: number): void {
    this.#clockBounds.record(time as EpochMs, this.#clock.now());
  }

  /** Called before the service sends a snapshot or changes. */
  begin({ isSnapshot, fingerprintKey }: Opened): void {
    const current = this.#table?.fingerprintKey;
    if (current === undefined || Buffer.compare(current, fingerprintKey) !== 0)
      this.#replaceTable(fingerprintKey);
    if (!isSnapshot) return;
    // The snapshot may be of a restored database, without some commits that the copy has. Entries that the copy has remain valid.
    this.#isLoading = true;
    this.#revision = undefined;
    this.#reflected.clear();
  }

  /** Adds an entry, which stops being BLACKLISTED at `until`, in milliseconds since 1970. */
  put(fingerprint: Int32Array, until: number): void {
    this.#version++;
    this.#table?.index.put(fingerprint, until);
  }

  /** Called when everything up to `revision` has been put in. */
  recordRevision(revision: string): void {
    // A copy that was dropped holds nothing of the revision.
    if (this.#table === undefined) return;
    this.#revision = revision;
    this.#isComplete = true;
    this.#isLoading = false;
    this.#reflected.add(revision);
    const [oldest] = this.#reflected;
    if (this.#reflected.size > KEPT_STAMPS) this.#reflected.delete(oldest as string);
  }

  /** Called when the copy has everything that was acknowledged before `sentAt`. */
  recordProof(sentAt: ClockReading): void {
    this.#provenAt = sentAt;
  }

  /** Removes some of the expired entries. */
  sweep(): void {
    const now = this.#clockBounds.earliest();
    for (const { index } of this.#tables) index.sweep(now, SWEEP_INDEX_SEGMENTS);
    this.#formerTables = this.#formerTables.filter(({ index }) => index.size > 0);
  }

  /** Drops all entries and frees their memory; the copy then gives no negatives. */
  drop(): void {
    this.#table = undefined;
    this.#formerTables = [];
    this.#isComplete = false;
    this.#isLoading = false;
    this.#revision = undefined;
    this.#reflected.clear();
    this.#provenAt = undefined;
  }

  /** Whether either clock is before `until`. The slower clock is computed only if this machine's clock has passed `until`. */
  #isInFuture(until: number, wall: number): boolean {
    return until > wall || until > this.#clockBounds.earliest();
  }

  #replaceTable(fingerprintKey: Uint8Array): void {
    if (this.#table !== undefined && this.#table.index.size > 0)
      this.#formerTables = [...this.#formerTables, this.#table];
    // Copied, because the key is a view of a larger message.
    this.#table = { fingerprintKey: Uint8Array.from(fingerprintKey), index: new TokenIndex(fingerprintKey) };
    this.#isComplete = false;
    this.#provenAt = undefined;
  }
}
