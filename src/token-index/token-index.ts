import { Fingerprinter } from "./fingerprint.ts";
import { Segment } from "./segment.ts";

/**
 * The keys of entries with their expiries, in 29 to 57 bytes per entry, some 40 on average.
 *
 * It stores a keyed 128-bit fingerprint in place of a key: a key that was not added is found with a probability of 2^-128 per key that
 * was. Look-ups and additions take well below a microsecond, or 0.2 ms when a table is split, however many entries there are. The index
 * has no clock: an expired entry stays until {@link sweep} removes it.
 *
 * Segments are found by the last bits of a fingerprint's second word (extendible hashing): the directory has an element for each
 * value of these bits, and a segment that needs fewer bits is in several elements.
 */
export class TokenIndex {
  readonly #fingerprinter: Fingerprinter;
  #directory: Segment[] = [new Segment()];
  #size = 0;
  /** The place in the directory at which the next sweep resumes. */
  #sweepAt = 0;

  /** `key` has 32 bytes and is secret: knowing it allows choosing entries that make the index slow. */
  constructor(key: Uint8Array) {
    this.#fingerprinter = new Fingerprinter(key);
  }

  /** The number of entries, expired or not. */
  get size(): number {
    return this.#size;
  }

  /** The size of the tables in bytes, without dropped tables that have not been garbage-collected yet. */
  get bytes(): number {
    return this.#directory.reduce((sum, segment, at) => sum + (isFirst(segment, at) ? segment.bytes : 0), 0);
  }

  /**
   * Adds an entry, or keeps the later expiry if it exists. `key` is text or its UTF-8: 1 to 255 bytes, well-formed. `expiresAt` is in
   * whole milliseconds since 1970, from 1 to MAX_EPOCH_MS. Throws a RangeError if `key` is longer.
   */
  add(key: string | Uint8Array, expiresAt: number): void {
    this.put(this.#fingerprinter.hash(key), expiresAt);
  }

  /** The fingerprint of an entry's key: four words, in an array that is reused for the next key. Throws as {@link add} does. */
  fingerprintOf(key: string | Uint8Array): Int32Array {
    return this.#fingerprinter.hash(key);
  }

  /** {@link fingerprintOf} for unvalidated text; undefined if no entry may have it as its key. */
  fingerprintIfKey(text: string): Int32Array | undefined {
    return this.#fingerprinter.hashIfKey(text);
  }

  /** Adds an entry by its fingerprint, which must have been made with the same key. */
  put(fingerprint: Int32Array, expiresAt: number): void {
    for (;;) {
      const segment = this.#segmentOf(fingerprint);
      const before = segment.size;
      if (segment.put(fingerprint, expiresAt)) {
        this.#size += segment.size - before;
        return;
      }
      this.#split(segment, fingerprint[1] as number);
    }
  }

  /** The entry's expiry in milliseconds since 1970, in the past or future; 0 if it is not held. Throws as {@link add} does. */
  expiryOf(key: string): number {
    return this.expiryOfFingerprint(this.#fingerprinter.hash(key));
  }

  /** {@link expiryOf} by fingerprint, which must have been made with the same key. */
  expiryOfFingerprint(fingerprint: Int32Array): number {
    return this.#segmentOf(fingerprint).expiryOf(fingerprint);
  }

  /**
   * Removes the entries that expire at `cutoff` or before from the next `segments` segments, or from all if that is Infinity, and returns
   * how many. Resumes where the last sweep ended, and wraps around: each round examines every entry that is held throughout it. Frees
   * memory of sparsely filled tables.
   */
  sweep(cutoff: number, segments = 1): number {
    const before = this.#size;
    let left = segments;
    for (let places = this.#directory.length; places > 0 && left > 0; places--) {
      const segment = this.#directory[this.#sweepAt] as Segment;
      if (isFirst(segment, this.#sweepAt)) {
        this.#size -= segment.sweep(cutoff);
        this.#merge(segment, this.#sweepAt);
        left--;
      }
      this.#sweepAt = (this.#sweepAt + 1) % this.#directory.length;
    }
    return before - this.#size;
  }

  /**
   * Calls `each` with the entries of one segment, in no order, and returns the next place. Repeated from 0 until it returns
   * {@link END_OF_PLACES}, it passes on every entry that is held throughout, some of them twice, even if segments split or join in
   * between. The fingerprint is always in the same array.
   *
   * A place is a fingerprint's second word with its bits reversed, so that the entries of a segment are contiguous, as are those of
   * two segments that split or join.
   */
  visit(place: number, each: (fingerprint: Int32Array, expiresAt: number) => void): number {
    const segment = this.#directory[reverseBits(place) & (this.#directory.length - 1)] as Segment;
    segment.visit(each);
    const covered = 2 ** (32 - segment.depth);
    return (Math.floor(place / covered) + 1) * covered;
  }

  #segmentOf(fingerprint: Int32Array): Segment {
    return this.#directory[(fingerprint[1] as number) & (this.#directory.length - 1)] as Segment;
  }

  #split(segment: Segment, word: number): void {
    const bit = 2 ** segment.depth;
    if (bit === this.#directory.length) this.#directory = this.#directory.concat(this.#directory);
    const sibling = segment.split();
    for (let at = (word & (bit - 1)) + bit; at < this.#directory.length; at += 2 * bit)
      this.#directory[at] = sibling;
  }

  /** Joins only with a segment that this round of sweeping has already passed, so that no entry is skipped. */
  #merge(segment: Segment, place: number): void {
    const bit = 2 ** (segment.depth - 1);
    if (place < bit) return;
    const sibling = this.#directory[place - bit] as Segment;
    if (sibling.depth !== segment.depth || !sibling.join(segment)) return;
    for (let at = place; at < this.#directory.length; at += 2 * bit) this.#directory[at] = sibling;
  }
}

/** The place after all others, see {@link TokenIndex.visit}. */
export const END_OF_PLACES = 2 ** 32;

function reverseBits(word: number): number {
  let reversed = 0;
  for (let bit = 0; bit < 32; bit++) reversed = (reversed << 1) | ((word >>> bit) & 1);
  return reversed;
}

/** Whether `place` is the first of a segment's elements in the directory; a sweep examines a segment there only. */
function isFirst(segment: Segment, place: number): boolean {
  return place < 2 ** segment.depth;
}
