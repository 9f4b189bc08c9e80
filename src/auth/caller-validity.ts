import type { Principal } from "../caller.ts";
import type { EpochMs } from "../entry.ts";

/**
 * Tells whether an admitted caller would certainly be admitted again: its token or certificate has not expired, and the keys of tokens, the
 * roles of certificates and the trusted authorities are unchanged.
 */
export class CallerValidity {
  readonly #now: () => EpochMs;
  readonly #onChange: (() => void)[] = [];
  #version = 0;

  /** `now` is the latest time of all clocks. */
  constructor(now: () => EpochMs) {
    this.#now = now;
  }

  /** Increases with every change. */
  get version(): number {
    return this.#version;
  }

  /** Whether the caller has not expired and nothing has changed since `version`, which must be read before the caller is judged. */
  holds({ expiresAt }: Principal, version: number): boolean {
    return version === this.#version && (expiresAt === undefined || this.#now() < expiresAt);
  }

  /** Records that keys, roles or authorities have changed, and notifies the listeners. */
  changed(): void {
    this.#version++;
    for (const changed of this.#onChange) changed();
  }

  onChange(changed: () => void): void {
    this.#onChange.push(changed);
  }
}
