import type { Clock } from "../time/clock.ts";

/**
 * Positives that a client caches, about 2 MB, and for how long if the token's own expiry is unknown. Far more than are presented again
 * within a minute; with ten times as many, every look-up would miss the processor's cache.
 */
const MAX_REMEMBERED_POSITIVES = 10_000;
const REMEMBER_POSITIVE_MS = 60_000;

/**
 * Tokens that were found to be blacklisted. They stay blacklisted until they expire, so they need no further check. Negatives are
 * never remembered. Bounded: the oldest are evicted first.
 */
export class PositiveCache {
  readonly #clock: Clock;
  readonly #max: number;
  /** When each stops being remembered, by the monotonic clock. */
  readonly #until = new Map<string, number>();
  /** The same tokens in order of insertion, as a ring from `#oldest`: a Map would search its deleted entries for the first live one. */
  #ring: string[] = [];
  #oldest = 0;

  constructor({ clock, max = MAX_REMEMBERED_POSITIVES }: { clock: Clock; max?: number }) {
    this.#clock = clock;
    this.#max = max;
  }

  has(token: string): boolean {
    // A client with a local copy remembers few tokens, and a Map look-up computes the string's hash.
    if (this.#until.size === 0) return false;
    const until = this.#until.get(token);
    return until !== undefined && this.#clock.monotonic() < until;
  }

  /** Remembers a token until `expiresAt` (milliseconds since 1970) if known, otherwise for a minute. */
  add(token: string, expiresAt?: number): void {
    const forMs = expiresAt === undefined ? REMEMBER_POSITIVE_MS : expiresAt - this.#clock.now();
    if (forMs <= 0) return;
    const until = this.#clock.monotonic() + forMs;
    const before = this.#until.get(token);
    if (before === undefined) this.#enter(token);
    if (before === undefined || before < until) this.#until.set(token, until);
  }

  clear(): void {
    this.#until.clear();
    this.#ring = [];
    this.#oldest = 0;
  }

  /** Adds a token to the ring, evicting the oldest one if the ring is full. */
  #enter(token: string): void {
    if (this.#ring.length < this.#max) {
      this.#ring.push(token);
      return;
    }
    this.#until.delete(this.#ring[this.#oldest] as string);
    this.#ring[this.#oldest] = token;
    this.#oldest = (this.#oldest + 1) % this.#max;
  }
}
