import type { Clock } from "../clock.ts";
import { MAX_REMEMBERED_POSITIVES, REMEMBER_POSITIVE_MS } from "../limits.ts";

/**
 * Tokens that were found to be blacklisted: they stay so until they expire, and need not be asked about again. Negatives are
 * never remembered. Bounded: the older half is forgotten at once. Forgetting the oldest of a full Map each time would take longer
 * than asking, since Map looks for its first entry among all that were deleted.
 */
export class RememberedPositives {
  readonly #clock: Clock;
  readonly #max: number;
  /** Until when each is remembered, by the monotonic clock; those that came last, and those that came before them. */
  #newer = new Map<string, number>();
  #older = new Map<string, number>();

  constructor({ clock, max = MAX_REMEMBERED_POSITIVES }: { clock: Clock; max?: number }) {
    this.#clock = clock;
    this.#max = max;
  }

  has(jti: string): boolean {
    // A client that keeps a copy remembers next to nothing, and looking for a string nobody has looked for takes its hash.
    if (this.#newer.size === 0 && this.#older.size === 0) return false;
    const until = this.#untilOf(jti);
    return until !== undefined && this.#clock.monotonic() < until;
  }

  /** For as long as the token itself lasts, where that is known (milliseconds since 1970); otherwise for a minute. */
  add(jti: string, expiresAt?: number): void {
    const forMs = expiresAt === undefined ? REMEMBER_POSITIVE_MS : expiresAt - this.#clock.now();
    if (forMs <= 0) return;
    this.#newer.set(jti, Math.max(this.#clock.monotonic() + forMs, this.#untilOf(jti) ?? 0));
    if (this.#newer.size < this.#max / 2) return;
    this.#older = this.#newer;
    this.#newer = new Map();
  }

  clear(): void {
    this.#newer.clear();
    this.#older.clear();
  }

  #untilOf(jti: string): number | undefined {
    return this.#newer.get(jti) ?? this.#older.get(jti);
  }
}
