/** Operations after which the next key comes up: few keys at a time, each with its first write in the middle of its checks. */
const OPERATIONS_PER_KEY = 45;
const HOT = 2;
const UPCOMING = 4;

/** The keys of one history. As it goes on each is checked, then blacklisted by several clients at once, then checked again. */
export class Keyring {
  readonly #seed: number;
  readonly #started: () => number;

  /** `started` tells how many operations have begun. */
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

  /** Being blacklisted for the first time about now. */
  get hot(): string[] {
    return this.#range(this.#turn, this.#turn + HOT);
  }

  /** Their turn comes next: mostly nobody has blacklisted them. */
  get upcoming(): string[] {
    return this.#range(this.#turn + HOT, this.#turn + HOT + UPCOMING);
  }

  /** Their turn is over: mostly blacklisted. */
  get old(): string[] {
    return this.#range(0, this.#turn);
  }

  get all(): string[] {
    return [...this.old, ...this.hot, ...this.upcoming];
  }

  /** Every fifth key's first writes last a moment only, and others extend them. */
  isShort(key: string): boolean {
    return Number(key.slice(key.indexOf("/") + 1)) % 5 === 4;
  }

  #range(from: number, to: number): string[] {
    return Array.from({ length: to - from }, (_, offset) => this.key(from + offset));
  }
}
