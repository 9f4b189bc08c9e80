import { createHmac } from "node:crypto";
import type { BothClocks } from "../both-clocks.ts";
import type { Clock } from "../clock.ts";
import type { Entry, Jti } from "../entry.ts";
import { COUNTED_ENTRIES, SWEEP_INDEX_MS, SWEEP_INDEX_SEGMENTS } from "../limits.ts";
import type { TailEntry } from "../store/store.ts";
import { LAST_PLACE, TokenIndex } from "../token-index/token-index.ts";
import type { ChangeLog } from "./change-log.ts";
import { HISTORY_CHANGED } from "./doubt.ts";

export interface HeldEntriesOptions {
  readonly clock: Clock;
  /** Told at every read what the database's clock says. */
  readonly clocks: BothClocks;
  /** Told of everything that changes once the index is complete. */
  readonly changeLog: ChangeLog;
  readonly leewayMs: number;
}

/** What has been read of the blacklist: an index of the entries that still answer, and some that do not any more. */
export class HeldEntries {
  readonly #options: HeldEntriesOptions;
  /** Absent until the deployment's secret is known, and while there are too many entries. */
  #index: TokenIndex | undefined;
  #key: Buffer | undefined;
  #sweepAt = Number.NEGATIVE_INFINITY;
  /** The place in the index at which the next count of live entries goes on. */
  #countAt = 0;

  constructor(options: HeldEntriesOptions) {
    this.#options = options;
  }

  /** Makes the index, unless it is there. */
  open(secret: Uint8Array): void {
    this.#key = indexKey(secret);
    this.#index ??= new TokenIndex(this.#key);
  }

  /** Whether there is an index. */
  get isOpen(): boolean {
    return this.#index !== undefined;
  }

  /** Gives the memory back. */
  drop(): void {
    this.#index = undefined;
  }

  /** The key of the fingerprints. Throws where there never was an index. */
  get key(): Buffer {
    if (this.#key === undefined) throw new Error("the index was never complete");
    return this.#key;
  }

  /** How many there are, expired or not. */
  get size(): number {
    return this.#index?.size ?? 0;
  }

  /** How many of them still answer: counted, or where they are many, reckoned from a part of them, another one each time. */
  countLive(): number {
    const index = this.#index;
    if (index === undefined) return 0;
    const cutoff = this.#cutoff();
    let seen = 0;
    let live = 0;
    let covered = 0;
    while (covered < LAST_PLACE && seen < COUNTED_ENTRIES) {
      const next = index.visit(this.#countAt, (_, expiresAt) => {
        seen++;
        if (expiresAt > cutoff) live++;
      });
      covered += next - this.#countAt;
      this.#countAt = next === LAST_PLACE ? 0 : next;
    }
    return seen === 0 ? 0 : Math.round((live / seen) * index.size);
  }

  /** When the token expires or expired, in milliseconds since 1970; 0 where it is not among them. */
  expiryOf(jti: Jti): number {
    return this.#index?.expiryOf(jti) ?? 0;
  }

  /** The entries of a part of the index, as {@link TokenIndex.visit} has it. Throws NOT_FRESH where there is none. */
  visit(place: number, each: (print: Int32Array, expiresAt: number) => void): number {
    if (this.#index === undefined) throw HISTORY_CHANGED;
    return this.#index.visit(place, each);
  }

  /** Puts in what still answers of these, and logs it. */
  take(entries: readonly TailEntry[]): void {
    const { changeLog, leewayMs } = this.#options;
    const cutoff = this.#cutoff();
    const index = this.#index;
    if (index === undefined) return;
    for (const { jti, expiresAt } of entries) {
      if (expiresAt <= cutoff) continue;
      const print = index.fingerprintOf(jti);
      index.put(print, expiresAt);
      changeLog.add(print, expiresAt + leewayMs);
    }
  }

  /** The same of entries that have not been read yet. They are logged when they are: in the order of all commits. */
  hold(entries: Iterable<Pick<Entry, "jti" | "expiresAt">>): void {
    const cutoff = this.#cutoff();
    for (const { jti, expiresAt } of entries) if (expiresAt > cutoff) this.#index?.add(jti, expiresAt);
  }

  /** Forgets a little of what has expired, at most once a second. */
  sweep(): void {
    const { clock } = this.#options;
    if (clock.monotonic() < this.#sweepAt) return;
    this.#sweepAt = clock.monotonic() + SWEEP_INDEX_MS;
    this.#index?.sweep(this.#cutoff(), SWEEP_INDEX_SEGMENTS);
  }

  /** What expires at this moment or before does not answer any more, by either clock. */
  #cutoff(): number {
    const { clocks, leewayMs } = this.#options;
    return clocks.earlier() - leewayMs;
  }
}

/** The fingerprints' key: derived apart from all others, so that it can be given to those who hold a copy of the index. */
function indexKey(secret: Uint8Array): Buffer {
  return createHmac("sha256", secret).update("tokenblacklist token index 1").digest();
}
