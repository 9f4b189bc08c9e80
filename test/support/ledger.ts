import type { Choices } from "../histories/choices.ts";

/** An acknowledged revocation. */
export interface Acknowledged {
  readonly jti: string;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
  readonly revision: string;
  /** By the monotonic clock of this process: acknowledged at this time at the latest. */
  readonly since: number;
}

/** The acknowledged revocations that have not expired. */
export class Ledger {
  #tokens: Acknowledged[] = [];
  #sweepAt = 1000;

  add(tokens: readonly { jti: string; expiresAt: number }[], revision: string): void {
    const since = performance.now();
    for (const { jti, expiresAt } of tokens) this.#tokens.push({ jti, expiresAt, revision, since });
    // Expired ones are removed when the size has doubled, so that memory is proportional to the live ones.
    if (this.#tokens.length < this.#sweepAt) return;
    this.#tokens = this.alive();
    this.#sweepAt = Math.max(1000, 2 * this.#tokens.length);
  }

  /** Those whose expiry is at least this far ahead. */
  alive(aheadMs = 0): Acknowledged[] {
    const now = Date.now() + aheadMs;
    return this.#tokens.filter(({ expiresAt }) => expiresAt > now);
  }

  pick(choices: Choices): Acknowledged | undefined {
    return this.#tokens.length === 0 ? undefined : choices.pick(this.#tokens);
  }
}
