import type { Principal } from "../caller.ts";
import type { EpochMs } from "../entry.ts";

/**
 * Tells whether an admitted caller would certainly be admitted again: its token or certificate has not expired, and neither the keys of
 * tokens nor the roles of certificates nor the trusted authorities have changed.
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

  /**
   * Whether the caller's credential has not expired and nothing has changed since `version`. Read `version` before the caller is
   * authenticated.
   */
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
