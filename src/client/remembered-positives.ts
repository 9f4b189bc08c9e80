import type { Clock } from "../clock.ts";
import { MAX_REMEMBERED_POSITIVES, REMEMBER_POSITIVE_MS } from "../limits.ts";

/**
 * Tokens that were found to be blacklisted: they stay so until they expire, and need not be asked about again. Negatives are
 * never remembered. Bounded: who came first is forgotten first.
 */
export class RememberedPositives {
  readonly #clock: Clock;
  readonly #max: number;
  /** Until when each is remembered, by the monotonic clock. */
  readonly #until = new Map<string, number>();
  /** The same tokens as they came, from `#oldest` on and around: Map would look for its first one among all that were deleted. */
  #ring: string[] = [];
  #oldest = 0;

  constructor({ clock, max = MAX_REMEMBERED_POSITIVES }: { clock: Clock; max?: number }) {
    this.#clock = clock;
    this.#max = max;
  }

  has(jti: string): boolean {
    // A client that keeps a copy remembers next to nothing, and looking for a string nobody has looked for takes its hash.
    if (this.#until.size === 0) return false;
    const until = this.#until.get(jti);
    return until !== undefined && this.#clock.monotonic() < until;
  }

  /** For as long as the token itself lasts, where that is known (milliseconds since 1970); otherwise for a minute. */
  add(jti: string, expiresAt?: number): void {
    const forMs = expiresAt === undefined ? REMEMBER_POSITIVE_MS : expiresAt - this.#clock.now();
    if (forMs <= 0) return;
    const until = this.#clock.monotonic() + forMs;
    const before = this.#until.get(jti);
    if (before === undefined) this.#enter(jti);
    if (before === undefined || before < until) this.#until.set(jti, until);
  }

  clear(): void {
    this.#until.clear();
    this.#ring = [];
    this.#oldest = 0;
  }

  /** Takes its place in the ring, that of the oldest one where all are taken. */
  #enter(jti: string): void {
    if (this.#ring.length < this.#max) {
      this.#ring.push(jti);
      return;
    }
    this.#until.delete(this.#ring[this.#oldest] as string);
    this.#ring[this.#oldest] = jti;
    this.#oldest = (this.#oldest + 1) % this.#max;
  }
}
