import type { Choices } from "../histories/choices.ts";

/** A revocation that was acknowledged. */
export interface Acknowledged {
  readonly jti: string;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
  readonly revision: string;
  /** On the monotonic clock of the process that keeps the ledger: known to be acknowledged from here on. */
  readonly since: number;
}

/** What was acknowledged, and has not expired by itself. */
export class Ledger {
  #tokens: Acknowledged[] = [];
  #sweepAt = 1000;

  add(tokens: readonly { jti: string; expiresAt: number }[], revision: string): void {
    const since = performance.now();
    for (const { jti, expiresAt } of tokens) this.#tokens.push({ jti, expiresAt, revision, since });
    // What has expired goes when the rest has doubled: memory follows what is alive.
    if (this.#tokens.length < this.#sweepAt) return;
    this.#tokens = this.alive();
    this.#sweepAt = Math.max(1000, 2 * this.#tokens.length);
  }

  /** Those whose expiry is still so far ahead. */
  alive(aheadMs = 0): Acknowledged[] {
    const now = Date.now() + aheadMs;
    return this.#tokens.filter(({ expiresAt }) => expiresAt > now);
  }

  pick(choices: Choices): Acknowledged | undefined {
    return this.#tokens.length === 0 ? undefined : choices.pick(this.#tokens);
  }
}
