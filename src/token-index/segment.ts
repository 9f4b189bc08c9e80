import { Slots } from "./slots.ts";

/** A table begins with room for 12 entries at home, and doubles. */
const FIRST_HOMES = 12;
/**
 * The largest, 300 kB: it is split or swept in 0.1 to 0.2 ms, which stalls nobody, and ten million entries need so few
 * that what leads to them stays in the processor's cache.
 */
const MOST_HOMES = 12 * 2 ** 10;
/** Slots behind the last home, for entries pushed there. Where they do not suffice, the table is full early. */
const SLACK = 64;
/** Fuller than this the way to a free slot becomes long: 32 slots on average here, 128 at 15/16. */
const MAX_LOAD = 7 / 8;
/** So many rounds through a table hand over all of it, each a share from everywhere. */
const VISIT_STRIDE = 64;
/** Two siblings that fill no more than this become one: far enough from MAX_LOAD that they do not part again soon. */
const MIN_LOAD = 3 / 8;

/**
 * A part of the index: the entries whose second words agree in their last `depth` bits.
 *
 * A hash table with linear probing, kept in order: the smallest first word (unsigned) stands first, and no free slot
 * is between an entry and its home. So whatever rewrites the table goes once from its front to its back, and can do so
 * in place. The last slot stays free, and ends every search.
 */
export class Segment {
  /** How many last bits of the second word all entries share. */
  depth = 0;
  #size = 0;
  #homes: number;
  #slots: Slots;
  /** While the table is being rewritten: where the next entry may stand at the earliest. */
  #next = 0;

  constructor(homes = FIRST_HOMES) {
    this.#homes = homes;
    this.#slots = new Slots(homes + SLACK);
  }

  get size(): number {
    return this.#size;
  }

  get bytes(): number {
    return this.#slots.bytes;
  }

  /** When the entry with this fingerprint expires; 0 when there is none. */
  expiryOf(print: Int32Array): number {
    const slot = this.#slots.find(print, this.#homeOf(print[0] as number));
    return slot < 0 ? 0 : this.#slots.expiryOf(slot);
  }

  /**
   * Adds an entry; the later expiry is kept if it is there already. False, and nothing done, when the table is full:
   * then it has to be split.
   */
  put(print: Int32Array, expiresAt: number): boolean {
    const known = this.#slots.find(print, this.#homeOf(print[0] as number));
    if (known >= 0) {
      if (expiresAt > this.#slots.expiryOf(known)) this.#slots.setExpiry(known, expiresAt);
      return true;
    }
    while (!this.#insert(print, expiresAt)) {
      if (this.#homes === MOST_HOMES) return false;
      this.#double();
    }
    return true;
  }

  /** Gives the entries whose next bit of the second word is set to a new segment, and returns that. */
  split(): Segment {
    const sibling = new Segment(this.#homes);
    const bit = 1 << this.depth++;
    sibling.depth = this.depth;
    this.#rewrite((slot) => ((this.#slots.secondOf(slot) & bit) === 0 ? this : sibling));
    return sibling;
  }

  /** Undoes a {@link split}: takes the entries of `sibling` too. False, and nothing done, unless there is room to spare. */
  join(sibling: Segment): boolean {
    if (this.#size + sibling.#size > MIN_LOAD * this.#homes) return false;
    const joined = new Segment(this.#homes);
    if (!joined.#copy(this) || !joined.#copy(sibling)) return false;
    this.#become(joined);
    this.depth--;
    return true;
  }

  /** Forgets what expires at `cutoff` or before; says how many that were. */
  sweep(cutoff: number): number {
    const before = this.#size;
    this.#rewrite((slot) => (this.#slots.expiryOf(slot) > cutoff ? this : undefined));
    return before - this.#size;
  }

  /**
   * Hands over every entry, its fingerprint always in the same array. Not in the order in which they stand: whoever puts them into
   * a table of his own would fill that from its front, and every entry would be pushed past all that came before.
   */
  visit(each: (print: Int32Array, expiresAt: number) => void): void {
    const print = new Int32Array(4);
    for (let first = 0; first < VISIT_STRIDE; first++) {
      for (let slot = first; slot < this.#slots.length; slot += VISIT_STRIDE) {
        if (this.#slots.isFree(slot)) continue;
        this.#slots.read(slot, print);
        each(print, this.#slots.expiryOf(slot));
      }
    }
  }

  #homeOf(first: number): number {
    // Half of the word is precise enough, and the product stays within 32 bits.
    return Math.imul(first >>> 16, this.#homes) >>> 16;
  }

  #insert(print: Int32Array, expiresAt: number): boolean {
    if (this.#size >= MAX_LOAD * this.#homes) return false;
    const slots = this.#slots;
    const first = print[0] as number;
    let place = this.#homeOf(first);
    while (!slots.isFree(place) && slots.firstOf(place) >>> 0 < first >>> 0) place++;
    let free = place;
    while (!slots.isFree(free)) free++;
    if (free === slots.length - 1) return false;
    slots.insert(place, free, print, expiresAt);
    this.#size++;
    return true;
  }

  #double(): void {
    const larger = new Segment(2 * this.#homes);
    this.#rewrite(() => larger);
    this.#become(larger);
  }

  #become(other: Segment): void {
    this.#homes = other.#homes;
    this.#slots = other.#slots;
    this.#size = other.#size;
  }

  #copy(source: Segment): boolean {
    let fits = true;
    source.visit((print, expiresAt) => {
      fits &&= this.put(print, expiresAt);
    });
    return fits;
  }

  /** Takes all entries out, in order, and puts each into the segment that `whose` names, or into none. */
  #rewrite(whose: (slot: number) => Segment | undefined): void {
    this.#size = 0;
    this.#next = 0;
    for (let slot = 0; slot < this.#slots.length; slot++) {
      if (this.#slots.isFree(slot)) continue;
      const segment = whose(slot);
      if (segment === undefined) this.#slots.free(slot);
      else segment.#append(this.#slots, slot);
    }
  }

  /** Moves an entry behind all others. In the same table that is never a move towards the back. */
  #append(source: Slots, slot: number): void {
    const to = Math.max(this.#homeOf(source.firstOf(slot)), this.#next);
    if (source !== this.#slots || to !== slot) this.#slots.move(source, slot, to);
    this.#next = to + 1;
    this.#size++;
  }
}
