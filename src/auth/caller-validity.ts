import type { EpochMs } from "../entry.ts";
import type { Principal } from "../principal.ts";

/**
 * Whether a caller who has been let in would be let in again: until the token expires that it was known by, and as long as the keys of tokens, the roles
 * of certificates and who vouches for these stay the same.
 */
export class CallerValidity {
  readonly #now: () => EpochMs;
  readonly #onChange: (() => void)[] = [];
  #version = 0;

  /** `now` is the latest that any clock says. */
  constructor(now: () => EpochMs) {
    this.#now = now;
  }

  /** Grows with every change. */
  get version(): number {
    return this.#version;
  }

  /** Whether nothing has happened since `version` was read, before the caller was judged. */
  holds({ expiresAt }: Principal, version: number): boolean {
    return version === this.#version && (expiresAt === undefined || this.#now() < expiresAt);
  }

  /** Keys, roles or authorities are other ones. */
  changed(): void {
    this.#version++;
    for (const changed of this.#onChange) changed();
  }

  onChange(changed: () => void): void {
    this.#onChange.push(changed);
  }
}
