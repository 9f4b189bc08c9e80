import { Slots } from "./slots.ts";

/** The number of home slots of a new table; a full table doubles it. The search for an entry begins at the entry's home slot. */
const INITIAL_HOMES = 12;
/**
 * The largest table has 300 kB: splitting or sweeping it takes 0.1 to 0.2 ms, which delays no request noticeably, and ten million
 * entries need so few tables that the directory stays in the processor's cache.
 */
const MAX_HOMES = 12 * 2 ** 10;
/** Slots behind the last home slot, for displaced entries. If they run out, the table counts as full. */
const SLACK = 64;
/** Maximum load. An insertion passes 32 slots on average at this load, and 128 at 15/16. */
const MAX_LOAD = 7 / 8;
/** A visit makes this many passes over a table, each from front to back over slots that are this far apart. */
const VISIT_STRIDE = 64;
/** Two segments that were split from one are joined again if the load is then at most this: so low that the result does not soon split. */
const MIN_LOAD = 3 / 8;

/**
 * A part of the index: the entries whose fingerprints have the same last `depth` bits in their second word.
 *
 * A hash table with linear probing, kept sorted by the first word (unsigned), with no free slot between an entry and its home. So
 * one pass from front to back can rewrite the table in place. The last slot stays free and ends every search.
 */
export class Segment {
  /** The number of last bits of the second word that all entries share. */
  depth = 0;
  #size = 0;
  #homes: number;
  #slots: Slots;
  /** While the table is being rewritten: the first slot that the next entry may use. */
  #next = 0;

  constructor(homes = INITIAL_HOMES) {
    this.#homes = homes;
    this.#slots = new Slots(homes + SLACK);
  }

  get size(): number {
    return this.#size;
  }

  get bytes(): number {
    return this.#slots.bytes;
  }

  /** The expiry of the entry with this fingerprint; 0 if there is none. */
  expiryOf(fingerprint: Int32Array): number {
    const slot = this.#slots.find(fingerprint, this.#homeOf(fingerprint[0] as number));
    return slot < 0 ? 0 : this.#slots.expiryOf(slot);
  }

  /** Adds an entry, or keeps the later expiry if the entry exists. Returns false, and adds nothing, if the segment has to be split. */
  put(fingerprint: Int32Array, expiresAt: number): boolean {
    const known = this.#slots.find(fingerprint, this.#homeOf(fingerprint[0] as number));
    if (known >= 0) {
      if (expiresAt > this.#slots.expiryOf(known)) this.#slots.setExpiry(known, expiresAt);
      return true;
    }
    while (!this.#insert(fingerprint, expiresAt)) {
      if (this.#homes === MAX_HOMES) return false;
      this.#double();
    }
    return true;
  }

  /** Moves the entries whose next bit of the second word is set to a new segment, and returns it. */
  split(): Segment {
    const sibling = new Segment(this.#homes);
    const bit = 1 << this.depth++;
    sibling.depth = this.depth;
    this.#rewrite((slot) => ((this.#slots.secondOf(slot) & bit) === 0 ? this : sibling));
    return sibling;
  }

  /** Undoes a {@link split}: takes over the entries of `sibling`. Returns false, and changes nothing, if they are too many. */
  join(sibling: Segment): boolean {
    if (this.#size + sibling.#size > MIN_LOAD * this.#homes) return false;
    const joined = new Segment(this.#homes);
    if (!joined.#copy(this) || !joined.#copy(sibling)) return false;
    this.#adopt(joined);
    this.depth--;
    return true;
  }

  /** Removes entries that expire at `cutoff` or before; returns how many. */
  sweep(cutoff: number): number {
    const before = this.#size;
    this.#rewrite((slot) => (this.#slots.expiryOf(slot) > cutoff ? this : undefined));
    return before - this.#size;
  }

  /**
   * Calls `each` with every entry; the fingerprint is always in the same array. Not in table order: entries that are inserted into another
   * table in that order fill it from the front, and displace one another.
   */
  visit(each: (fingerprint: Int32Array, expiresAt: number) => void): void {
    const fingerprint = new Int32Array(4);
    for (let first = 0; first < VISIT_STRIDE; first++) {
      for (let slot = first; slot < this.#slots.length; slot += VISIT_STRIDE) {
        if (this.#slots.isFree(slot)) continue;
        this.#slots.copyFingerprint(slot, fingerprint);
        each(fingerprint, this.#slots.expiryOf(slot));
      }
    }
  }

  #homeOf(first: number): number {
    // Half of the word is precise enough, and keeps the product within 32 bits.
    return Math.imul(first >>> 16, this.#homes) >>> 16;
  }

  #insert(fingerprint: Int32Array, expiresAt: number): boolean {
    if (this.#size >= MAX_LOAD * this.#homes) return false;
    const slots = this.#slots;
    const first = fingerprint[0] as number;
    let slot = this.#homeOf(first);
    while (!slots.isFree(slot) && slots.firstOf(slot) >>> 0 < first >>> 0) slot++;
    let free = slot;
    while (!slots.isFree(free)) free++;
    if (free === slots.length - 1) return false;
    slots.insert(slot, free, fingerprint, expiresAt);
    this.#size++;
    return true;
  }

  #double(): void {
    const larger = new Segment(2 * this.#homes);
    this.#rewrite(() => larger);
    this.#adopt(larger);
  }

  #adopt(other: Segment): void {
    this.#homes = other.#homes;
    this.#slots = other.#slots;
    this.#size = other.#size;
  }

  #copy(source: Segment): boolean {
    let fits = true;
    source.visit((fingerprint, expiresAt) => {
      fits &&= this.put(fingerprint, expiresAt);
    });
    return fits;
  }

  /** Removes all entries, in order, and appends each to the segment that `targetOf` returns, or drops it. */
  #rewrite(targetOf: (slot: number) => Segment | undefined): void {
    this.#size = 0;
    this.#next = 0;
    for (let slot = 0; slot < this.#slots.length; slot++) {
      if (this.#slots.isFree(slot)) continue;
      const segment = targetOf(slot);
      if (segment === undefined) this.#slots.free(slot);
      else segment.#append(this.#slots, slot);
    }
  }

  /** Appends an entry behind all others. Within the same table that never moves an entry towards the back. */
  #append(source: Slots, slot: number): void {
    const to = Math.max(this.#homeOf(source.firstOf(slot)), this.#next);
    if (source !== this.#slots || to !== slot) this.#slots.move(source, slot, to);
    this.#next = to + 1;
    this.#size++;
  }
}
