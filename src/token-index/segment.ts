/** Words of a slot: four of fingerprint, then the two halves of the expiry. */
const SLOT = 6;
const LOW = 4;
const HIGH = 5;
const HALF = 2 ** 32;

/** A table begins with 16 home slots, and doubles. */
const FIRST_BITS = 4;
/**
 * The largest table has 16,384: 400 kB. To split or to sweep it takes about 0.1 ms, which stalls nobody, and ten
 * million entries need so few of them that what leads to them stays in the processor's cache.
 */
const LAST_BITS = 14;
/** Slots behind the last home slot, for entries pushed there. Where they do not suffice, the table counts as full early. */
const SLACK = 64;
/** Fuller than this the way to a free slot becomes long: 32 slots on average here, 128 at 15/16. */
const MAX_LOAD = 7 / 8;
/** Two siblings that fill less than this become one: far enough from MAX_LOAD that they do not part again soon. */
const MIN_LOAD = 3 / 8;

/**
 * A part of the index: the entries whose second words agree in their last `depth` bits.
 *
 * A hash table with linear probing, kept in order: the largest first word (unsigned) stands first, and no free slot is
 * between an entry and its home slot. So a search ends at the first smaller word, and whatever rewrites the table goes
 * once from its front to its back. A free slot is all zeros: no larger than any word looked for. The last stays free.
 */
export class Segment {
  /** How many last bits of the second word all entries share. */
  depth = 0;
  #size = 0;
  #shift: number;
  #words: Int32Array;
  /** While the table is being rewritten: where the next entry may stand at the earliest. */
  #next = 0;

  constructor(bits = FIRST_BITS) {
    this.#shift = 32 - bits;
    this.#words = emptyTable(bits);
  }

  get size(): number {
    return this.#size;
  }

  get bytes(): number {
    return this.#words.byteLength;
  }

  /** When the entry with this fingerprint expires; 0 when there is none. */
  expiryOf(print: Int32Array): number {
    const words = this.#words;
    const first = print[0] as number;
    for (let at = this.#search(first); words[at] === first; at += SLOT) {
      if (words[at + 1] === print[1] && words[at + 2] === print[2] && words[at + 3] === print[3]) {
        return expiryAt(words, at);
      }
    }
    return 0;
  }

  /**
   * Adds the entry whose fingerprint begins at `print[from]`; the later expiry is kept if it is there already. False,
   * and nothing done, when the table is full: then it has to be split.
   */
  put(print: Int32Array, from: number, expiresAt: number): boolean {
    const first = print[from] as number;
    let place = this.#search(first);
    for (let at = place; this.#words[at] === first; at += SLOT) {
      if (isSame(this.#words, at, print, from) && !isFree(this.#words, at)) {
        if (expiresAt > expiryAt(this.#words, at)) setExpiry(this.#words, at, expiresAt);
        return true;
      }
    }
    let free = this.#freeFrom(place);
    while (this.#isFullUpTo(free)) {
      if (this.#shift === 32 - LAST_BITS) return false;
      this.#double();
      place = this.#search(first);
      free = this.#freeFrom(place);
    }
    this.#words.copyWithin(place + SLOT, place, free);
    for (let word = 0; word < LOW; word++) this.#words[place + word] = print[from + word] as number;
    setExpiry(this.#words, place, expiresAt);
    this.#size++;
    return true;
  }

  /** Gives the entries with the next bit of the second word to a new segment, and returns that. */
  split(): Segment {
    const sibling = new Segment(32 - this.#shift);
    const bit = 1 << this.depth++;
    sibling.depth = this.depth;
    this.#rewrite((words, at) => (((words[at + 1] as number) & bit) === 0 ? this : sibling));
    return sibling;
  }

  /** Whether the two, which were one before, have room to spare in one. */
  wouldFitWith(sibling: Segment): boolean {
    return this.#size + sibling.#size < (MIN_LOAD * HALF) / 2 ** Math.max(this.#shift, sibling.#shift);
  }

  /** Undoes a {@link split}; `sibling` is not to be used any more. */
  absorb(sibling: Segment): void {
    this.depth--;
    const words = sibling.#words;
    for (let at = 0; at < words.length; at += SLOT) {
      if (!isFree(words, at)) this.put(words, at, expiryAt(words, at));
    }
  }

  /** Forgets what expires at `cutoff` or before; says how many that were. */
  sweep(cutoff: number): number {
    const before = this.#size;
    this.#rewrite((words, at) => (expiryAt(words, at) > cutoff ? this : undefined));
    return before - this.#size;
  }

  /** Where the first slot is whose word is not larger. */
  #search(first: number): number {
    const words = this.#words;
    let at = this.#homeOf(first);
    while ((words[at] as number) >>> 0 > first >>> 0) at += SLOT;
    return at;
  }

  #homeOf(first: number): number {
    return (~first >>> this.#shift) * SLOT;
  }

  #freeFrom(at: number): number {
    let free = at;
    while (!isFree(this.#words, free)) free += SLOT;
    return free;
  }

  #isFullUpTo(free: number): boolean {
    return this.#size >= MAX_LOAD * 2 ** (32 - this.#shift) || free === this.#words.length - SLOT;
  }

  #double(): void {
    const bits = 33 - this.#shift;
    const old = this.#words;
    this.#shift--;
    this.#words = emptyTable(bits);
    this.#rewrite(() => this, old);
  }

  /** Takes all entries out, in order, and puts each into the segment that `whose` names, or into none. */
  #rewrite(whose: (words: Int32Array, at: number) => Segment | undefined, words = this.#words): void {
    this.#size = 0;
    this.#next = 0;
    for (let at = 0; at < words.length; at += SLOT) {
      if (isFree(words, at)) continue;
      const segment = whose(words, at);
      if (segment !== undefined) segment.#append(words, at);
      else words.fill(0, at, at + SLOT);
    }
  }

  /** Moves an entry behind all others. In the same table that is never a move towards the back. */
  #append(words: Int32Array, at: number): void {
    const to = Math.max(this.#homeOf(words[at] as number), this.#next);
    this.#next = to + SLOT;
    this.#size++;
    if (words === this.#words && to === at) return;
    for (let word = 0; word < SLOT; word++) {
      this.#words[to + word] = words[at + word] as number;
      words[at + word] = 0;
    }
  }
}

function emptyTable(bits: number): Int32Array {
  return new Int32Array((2 ** bits + SLACK) * SLOT);
}

function isSame(words: Int32Array, at: number, print: Int32Array, from: number): boolean {
  return (
    words[at + 1] === print[from + 1] &&
    words[at + 2] === print[from + 2] &&
    words[at + 3] === print[from + 3]
  );
}

function isFree(words: Int32Array, at: number): boolean {
  return ((words[at + LOW] as number) | (words[at + HIGH] as number)) === 0;
}

function expiryAt(words: Int32Array, at: number): number {
  return (words[at + HIGH] as number) * HALF + ((words[at + LOW] as number) >>> 0);
}

function setExpiry(words: Int32Array, at: number, expiresAt: number): void {
  words[at + LOW] = expiresAt;
  words[at + HIGH] = expiresAt / HALF;
}
