/** Operations per key: few keys are in use at a time, each first written in the middle of its checks. */
const OPERATIONS_PER_KEY = 45;
const HOT = 2;
const UPCOMING = 4;

/** The keys of one history. Each is checked, then blacklisted by several clients at once, then checked again. */
export class Keyring {
  readonly #seed: number;
  readonly #started: () => number;

  /** `started` returns the number of operations begun. */
  constructor(seed: number, started: () => number) {
    this.#seed = seed;
    this.#started = started;
  }

  get #turn(): number {
    return Math.floor(this.#started() / OPERATIONS_PER_KEY);
  }

  key(number: number): string {
    return `${this.#seed}/${number}`;
  }

  /** About to be blacklisted for the first time. */
  get hot(): string[] {
    return this.#range(this.#turn, this.#turn + HOT);
  }

  /** Next in order, and usually not blacklisted yet. */
  get upcoming(): string[] {
    return this.#range(this.#turn + HOT, this.#turn + HOT + UPCOMING);
  }

  /** Earlier in order, and usually blacklisted. */
  get old(): string[] {
    return this.#range(0, this.#turn);
  }

  get all(): string[] {
    return [...this.old, ...this.hot, ...this.upcoming];
  }

  /** The first writes of every fifth key are short-lived, and others extend them. */
  isShort(key: string): boolean {
    return Number(key.slice(key.indexOf("/") + 1)) % 5 === 4;
  }

  #range(from: number, to: number): string[] {
    return Array.from({ length: to - from }, (_, offset) => this.key(from + offset));
  }
}
