import type { Clock } from "../clock.ts";
import { MAX_REMEMBERED_POSITIVES, REMEMBER_POSITIVE_MS } from "../limits.ts";

/**
 * Tokens that were found to be blacklisted: they stay so until they expire, and need not be asked about again. Negatives are
 * never remembered. Bounded; the oldest is forgotten first.
 */
export class RememberedPositives {
  readonly #clock: Clock;
  readonly #max: number;
  /** Until when each is remembered, by the monotonic clock; in the order in which they came. */
  readonly #until = new Map<string, number>();

  constructor({ clock, max = MAX_REMEMBERED_POSITIVES }: { clock: Clock; max?: number }) {
    this.#clock = clock;
    this.#max = max;
  }

  has(jti: string): boolean {
    // A client that keeps a copy remembers next to nothing, and looking for a string nobody has looked for takes its hash.
    if (this.#until.size === 0) return false;
    const until = this.#until.get(jti);
    if (until === undefined) return false;
    if (this.#clock.monotonic() < until) return true;
    this.#until.delete(jti);
    return false;
  }

  /** For as long as the token itself lasts, where that is known (milliseconds since 1970); otherwise for a minute. */
  add(jti: string, expiresAt?: number): void {
    const forMs = expiresAt === undefined ? REMEMBER_POSITIVE_MS : expiresAt - this.#clock.now();
    if (forMs <= 0) return;
    const until = Math.max(this.#clock.monotonic() + forMs, this.#until.get(jti) ?? 0);
    this.#until.delete(jti);
    this.#until.set(jti, until);
    if (this.#until.size > this.#max) this.#forgetOldest();
  }

  clear(): void {
    this.#until.clear();
  }

  #forgetOldest(): void {
    const [oldest] = this.#until.keys();
    if (oldest !== undefined) this.#until.delete(oldest);
  }
}
