import type { Clock } from "../time/clock.ts";

/**
 * Maximum number of positives that a client caches, about 2 MB: far more than are presented again within a minute. With ten times as many,
 * every look-up would miss the processor's cache.
 */
const MAX_REMEMBERED_POSITIVES = 10_000;
/** How long a positive is cached if the token's own expiry is unknown. */
const REMEMBER_POSITIVE_MS = 60_000;

/**
 * Tokens that were found to be blacklisted. They stay blacklisted until they expire, so they need no further check. Negatives are
 * never remembered. Bounded: the oldest are evicted first.
 */
export class PositiveCache {
  readonly #clock: Clock;
  readonly #maxTokens: number;
  /** When each token stops being remembered, by the monotonic clock. */
  readonly #rememberedUntil = new Map<string, number>();
  /** The same tokens in order of insertion, as a ring from `#oldest`: a Map would search its deleted entries for the first live entry. */
  #ring: string[] = [];
  #oldest = 0;

  constructor({ clock, maxTokens = MAX_REMEMBERED_POSITIVES }: { clock: Clock; maxTokens?: number }) {
    this.#clock = clock;
    this.#maxTokens = maxTokens;
  }

  has(token: string): boolean {
    // A client with a local copy remembers few tokens, and a Map look-up computes the string's hash.
    if (this.#rememberedUntil.size === 0) return false;
    const until = this.#rememberedUntil.get(token);
    return until !== undefined && this.#clock.monotonic() < until;
  }

  /** Remembers a token until `expiresAt` (milliseconds since 1970) if known, otherwise for a minute. */
  add(token: string, expiresAt?: number): void {
    const durationMs = expiresAt === undefined ? REMEMBER_POSITIVE_MS : expiresAt - this.#clock.now();
    if (durationMs <= 0) return;
    const until = this.#clock.monotonic() + durationMs;
    const before = this.#rememberedUntil.get(token);
    if (before === undefined) this.#addToRing(token);
    if (before === undefined || before < until) this.#rememberedUntil.set(token, until);
  }

  clear(): void {
    this.#rememberedUntil.clear();
    this.#ring = [];
    this.#oldest = 0;
  }

  /** Adds a token to the ring, evicting the oldest token if the ring is full. */
  #addToRing(token: string): void {
    if (this.#ring.length < this.#maxTokens) {
      this.#ring.push(token);
      return;
    }
    this.#rememberedUntil.delete(this.#ring[this.#oldest] as string);
    this.#ring[this.#oldest] = token;
    this.#oldest = (this.#oldest + 1) % this.#maxTokens;
  }
}
