/** The choices of a history, derived from its seed. Each purpose has its own sequence, so that none affects another. */
export class Choices {
  readonly #seed: number;
  #state: number;

  constructor(seed: number, purpose: string) {
    this.#seed = seed;
    let state = seed;
    for (const char of purpose) state = Math.imul(state ^ char.charCodeAt(0), 0x01000193);
    this.#state = state;
  }

  for(purpose: string): Choices {
    return new Choices(this.#seed, purpose);
  }

  /** In [0, 1). */
  number(): number {
    // mulberry32: 32 bits of state are enough for a client's choices.
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** In [from, to). */
  between(from: number, to: number): number {
    return from + this.number() * (to - from);
  }

  /** An integer, both bounds included. */
  whole(from: number, to: number): number {
    return Math.floor(this.between(from, to + 1));
  }

  chance(probability: number): boolean {
    return this.number() < probability;
  }

  pick<T>(among: readonly T[]): T {
    if (among.length === 0) throw new RangeError("there is nothing to choose from");
    return among[this.whole(0, among.length - 1)] as T;
  }

  /** This many of them, or all, in random order. */
  some<T>(among: readonly T[], count: number): T[] {
    const left = [...among];
    const chosen: T[] = [];
    while (chosen.length < count && left.length > 0) {
      chosen.push(...left.splice(this.whole(0, left.length - 1), 1));
    }
    return chosen;
  }
}
