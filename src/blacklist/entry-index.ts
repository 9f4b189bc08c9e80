import { createHmac } from "node:crypto";
import type { Entry, EntryKey } from "../entry.ts";
import { SWEEP_INDEX_MS, SWEEP_INDEX_SEGMENTS } from "../limits.ts";
import type { TailEntry } from "../store/store.ts";
import type { Clock } from "../time/clock.ts";
import type { ClockBounds } from "../time/clock-bounds.ts";
import { END_OF_PLACES, TokenIndex } from "../token-index/token-index.ts";
import type { ChangeLog } from "./change-log.ts";
import { NOT_FOLLOWING } from "./unavailability.ts";

/** Entries sampled to estimate the number of effective ones: takes less than a millisecond, and is accurate to a percent. */
export const COUNTED_ENTRIES = 20_000;

export interface EntryIndexOptions {
  readonly clock: Clock;
  readonly clockBounds: ClockBounds;
  readonly changeLog: ChangeLog;
  /** How long after its expiry an entry stays effective. */
  readonly leewayMs: number;
}

/** The entries read so far that are still effective, and expired ones that have not been swept yet. */
export class EntryIndex {
  readonly #options: EntryIndexOptions;
  /** Absent until the database's secret is known, and while there are too many entries. */
  #index: TokenIndex | undefined;
  #fingerprintKey: Buffer | undefined;
  /** When the next sweep is due, by the monotonic clock. */
  #sweepAt = Number.NEGATIVE_INFINITY;
  /** The place in the index at which {@link countLive} resumes, see {@link TokenIndex.visit}. */
  #countAt = 0;

  constructor(options: EntryIndexOptions) {
    this.#options = options;
  }

  /** Creates the index if there is none. `secret` is shared by all replicas. */
  open(secret: Uint8Array): void {
    this.#fingerprintKey = deriveFingerprintKey(secret);
    this.#index ??= new TokenIndex(this.#fingerprintKey);
  }

  get isOpen(): boolean {
    return this.#index !== undefined;
  }

  /** Drops the index and frees its memory. */
  drop(): void {
    this.#index = undefined;
  }

  /** The secret key with which the fingerprints are made. Throws if there never was an index. */
  get fingerprintKey(): Buffer {
    if (this.#fingerprintKey === undefined) throw new Error("there was never an index");
    return this.#fingerprintKey;
  }

  /** How many entries the index holds, expired or not. */
  get size(): number {
    return this.#index?.size ?? 0;
  }

  /**
   * How many entries are still effective: counted if there are few, otherwise extrapolated from a sample. Each call samples the part of
   * the index after that of the last call.
   */
  countLive(): number {
    const index = this.#index;
    if (index === undefined) return 0;
    const cutoff = this.#cutoff();
    let seen = 0;
    let live = 0;
    let covered = 0;
    while (covered < END_OF_PLACES && seen < COUNTED_ENTRIES) {
      const next = index.visit(this.#countAt, (_, expiresAt) => {
        seen++;
        if (expiresAt > cutoff) live++;
      });
      covered += next - this.#countAt;
      this.#countAt = next === END_OF_PLACES ? 0 : next;
    }
    return seen === 0 ? 0 : Math.round((live / seen) * index.size);
  }

  /** When the entry expires, in milliseconds since 1970; 0 if there is no such entry. */
  expiryOf(key: EntryKey): number {
    return this.#index?.expiryOf(key) ?? 0;
  }

  /**
   * Calls `each` with the entries of the part of the index at `place`, and returns the next place; see {@link TokenIndex.visit}. Throws
   * NOT_FRESH if there is no index.
   */
  visit(place: number, each: (fingerprint: Int32Array, expiresAt: number) => void): number {
    if (this.#index === undefined) throw NOT_FOLLOWING;
    return this.#index.visit(place, each);
  }

  /** Adds those entries that are still effective to the index, and to the change log. */
  addAndLog(entries: readonly TailEntry[]): void {
    const { changeLog, leewayMs } = this.#options;
    const cutoff = this.#cutoff();
    const index = this.#index;
    if (index === undefined) return;
    for (const { key, expiresAt } of entries) {
      if (expiresAt <= cutoff) continue;
      const fingerprint = index.fingerprintOf(key);
      index.put(fingerprint, expiresAt);
      changeLog.add(fingerprint, expiresAt + leewayMs);
    }
  }

  /**
   * Adds the entries of a commit of this replica, which has not been read yet, to the index. They are logged when they are read, since the log
   * has the order of all commits.
   */
  addUnlogged(entries: Iterable<Pick<Entry, "key" | "expiresAt">>): void {
    const cutoff = this.#cutoff();
    for (const { key, expiresAt } of entries) if (expiresAt > cutoff) this.#index?.add(key, expiresAt);
  }

  /** Removes some of the expired entries, at most once a second. */
  sweep(): void {
    const { clock } = this.#options;
    if (clock.monotonic() < this.#sweepAt) return;
    this.#sweepAt = clock.monotonic() + SWEEP_INDEX_MS;
    this.#index?.sweep(this.#cutoff(), SWEEP_INDEX_SEGMENTS);
  }

  /** An entry that expires at this time or before is no longer effective by either clock. */
  #cutoff(): number {
    const { clockBounds, leewayMs } = this.#options;
    return clockBounds.earliest() - leewayMs;
  }
}

/** Derives the key separately from all other keys, so that it can be given to holders of a local copy. */
function deriveFingerprintKey(secret: Uint8Array): Buffer {
  return createHmac("sha256", secret).update("tokenblacklist token index 1").digest();
}
