/** Words of a slot: four of fingerprint, then the two halves of the expiry. */
const SLOT = 6;
const LOW = 4;
const HIGH = 5;
const HALF = 2 ** 32;

/** A table begins with 16 home slots, and doubles. */
const FIRST_BITS = 4;
/**
 * The largest has 16,384, which are 400 kB: it is split or swept in about 0.1 ms, which stalls nobody, and ten million
 * entries need so few of them that what leads to them stays in the processor's cache.
 */
const LAST_BITS = 14;
/** Slots behind the last home slot, for entries pushed there. Where they do not suffice, the table is full early. */
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
 *
 * Beside it stands a Bloom filter of one byte a slot. It spares 19 of 20 searches for what is not there, most often
 * the question, the wait for memory: it fits into the processor's cache long after the table does not.
 */
export class Segment {
  /** How many last bits of the second word all entries share. */
  depth = 0;
  #size = 0;
  #bits: number;
  #words: Int32Array;
  #filter: Int32Array;
  /** While the table is being rewritten: where the next entry may stand at the earliest. */
  #next = 0;

  constructor(bits = FIRST_BITS) {
    this.#bits = bits;
    this.#words = new Int32Array((2 ** bits + SLACK) * SLOT);
    this.#filter = new Int32Array(2 ** (bits - 2));
  }

  get size(): number {
    return this.#size;
  }

  get bytes(): number {
    return this.#words.byteLength + this.#filter.byteLength;
  }

  /** When the entry with this fingerprint expires; 0 when there is none. */
  expiryOf(print: Int32Array): number {
    const marks = marksOf(print, 0);
    if (((this.#filter[this.#filterWordOf(print, 0)] as number) & marks) !== marks) return 0;
    const first = print[0] as number;
    for (let at = this.#search(first); this.#words[at] === first; at += SLOT) {
      if (this.#isSame(at, print, 0)) return expiryAt(this.#words, at);
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
      if (this.#isSame(at, print, from) && !isFree(this.#words, at)) {
        if (expiresAt > expiryAt(this.#words, at)) setExpiry(this.#words, at, expiresAt);
        return true;
      }
    }
    let free = this.#freeFrom(place);
    while (this.#isFullTo(free)) {
      if (this.#bits === LAST_BITS) return false;
      this.#double();
      place = this.#search(first);
      free = this.#freeFrom(place);
    }
    const words = this.#words;
    for (let word = free - 1; word >= place; word--) words[word + SLOT] = words[word] as number;
    for (let word = 0; word < LOW; word++) words[place + word] = print[from + word] as number;
    setExpiry(words, place, expiresAt);
    this.#mark(print, from);
    this.#size++;
    return true;
  }

  /** Gives the entries whose next bit of the second word is set to a new segment, and returns that. */
  split(): Segment {
    const sibling = new Segment(this.#bits);
    const bit = 1 << this.depth++;
    sibling.depth = this.depth;
    this.#rewrite((words, at) => (((words[at + 1] as number) & bit) === 0 ? this : sibling));
    return sibling;
  }

  /** Whether the two, which were one before, have room to spare in one. */
  fitsWith(sibling: Segment): boolean {
    return this.#size + sibling.#size < MIN_LOAD * 2 ** this.#bits;
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
    return (~first >>> (32 - this.#bits)) * SLOT;
  }

  #isSame(at: number, print: Int32Array, from: number): boolean {
    const words = this.#words;
    return (
      words[at + 1] === print[from + 1] &&
      words[at + 2] === print[from + 2] &&
      words[at + 3] === print[from + 3]
    );
  }

  #freeFrom(at: number): number {
    let free = at;
    while (!isFree(this.#words, free)) free += SLOT;
    return free;
  }

  #isFullTo(free: number): boolean {
    return this.#size >= MAX_LOAD * 2 ** this.#bits || free === this.#words.length - SLOT;
  }

  #filterWordOf(print: Int32Array, from: number): number {
    return (print[from + 2] as number) >>> (34 - this.#bits);
  }

  #mark(print: Int32Array, from: number): void {
    const word = this.#filterWordOf(print, from);
    this.#filter[word] = (this.#filter[word] as number) | marksOf(print, from);
  }

  #double(): void {
    const larger = new Segment(this.#bits + 1);
    this.#rewrite(() => larger);
    this.#bits = larger.#bits;
    this.#size = larger.#size;
    this.#words = larger.#words;
    this.#filter = larger.#filter;
  }

  /** Takes all entries out, in order, and puts each into the segment that `whose` names, or into none. */
  #rewrite(whose: (words: Int32Array, at: number) => Segment | undefined): void {
    const words = this.#words;
    this.#size = 0;
    this.#next = 0;
    this.#filter.fill(0);
    for (let at = 0; at < words.length; at += SLOT) {
      if (isFree(words, at)) continue;
      const segment = whose(words, at);
      if (segment === undefined) words.fill(0, at, at + SLOT);
      else segment.#append(words, at);
    }
  }

  /** Moves an entry behind all others. In the same table that is never a move towards the back. */
  #append(words: Int32Array, at: number): void {
    const to = Math.max(this.#homeOf(words[at] as number), this.#next);
    this.#next = to + SLOT;
    this.#mark(words, at);
    this.#size++;
    if (words === this.#words && to === at) return;
    for (let word = 0; word < SLOT; word++) {
      this.#words[to + word] = words[at + word] as number;
      words[at + word] = 0;
    }
  }
}

/** Two bits of a word of the filter. */
function marksOf(print: Int32Array, from: number): number {
  const word = print[from + 3] as number;
  return (1 << word) | (1 << (word >>> 5));
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
