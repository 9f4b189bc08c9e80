import { Fingerprinter } from "./fingerprint.ts";
import { Segment } from "./segment.ts";

/**
 * The keys of entries with their expiries, in 29 to 57 bytes per entry, some 40 on average.
 *
 * It stores a keyed 128-bit fingerprint in place of a key: a key that was not added is found with a probability of 2^-128 per key that
 * was added. Look-ups and additions take well below a microsecond, or 0.2 ms when a table is split, however many entries there are. The index
 * has no clock: an expired entry stays until {@link sweep} removes it.
 *
 * Segments are found by the last bits of a fingerprint's second word (extendible hashing): the directory has an element for each
 * value of these bits, and a segment that needs fewer bits is in several elements.
 */
export class TokenIndex {
  readonly #fingerprinter: Fingerprinter;
  #directory: Segment[] = [new Segment()];
  #size = 0;
  /** The index in the directory at which the next sweep resumes. */
  #sweepAt = 0;

  /** `fingerprintKey` has 32 bytes and is secret: knowing it allows choosing entries that make the index slow. */
  constructor(fingerprintKey: Uint8Array) {
    this.#fingerprinter = new Fingerprinter(fingerprintKey);
  }

  /** The number of entries, expired or not. */
  get size(): number {
    return this.#size;
  }

  /** The size of the tables in bytes, without dropped tables that have not been garbage-collected yet. */
  get bytes(): number {
    return this.#directory.reduce(
      (sum, segment, index) => sum + (isFirstElement(segment, index) ? segment.bytes : 0),
      0,
    );
  }

  /**
   * Adds an entry, or keeps the later expiry if the entry exists. `key` is text or its UTF-8: 1 to 255 bytes, well-formed. `expiresAt` is in
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

  /** {@link add} by fingerprint, which must have been made with the same fingerprint key. */
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

  /** The entry's expiry in milliseconds since 1970, in the past or future; 0 if the entry is not held. Throws as {@link add} does. */
  expiryOf(key: string): number {
    return this.expiryOfFingerprint(this.#fingerprinter.hash(key));
  }

  /** {@link expiryOf} by fingerprint, which must have been made with the same fingerprint key. */
  expiryOfFingerprint(fingerprint: Int32Array): number {
    return this.#segmentOf(fingerprint).expiryOf(fingerprint);
  }

  /**
   * Removes the entries that expire at `cutoff` or before from the next `segments` segments (Infinity: all), and returns how many. Resumes
   * where the last sweep ended, and wraps around, so that sweeps reach every entry that is held long enough. Frees memory of sparsely filled
   * tables.
   */
  sweep(cutoff: number, segments = 1): number {
    const before = this.#size;
    let left = segments;
    for (let elements = this.#directory.length; elements > 0 && left > 0; elements--) {
      const segment = this.#directory[this.#sweepAt] as Segment;
      if (isFirstElement(segment, this.#sweepAt)) {
        this.#size -= segment.sweep(cutoff);
        this.#merge(segment, this.#sweepAt);
        left--;
      }
      this.#sweepAt = (this.#sweepAt + 1) % this.#directory.length;
    }
    return before - this.#size;
  }

  /**
   * Calls `each` with the entries of the segment at `place`, in no order, and returns the next place. Calls from place 0 until
   * {@link END_OF_PLACES} is returned visit every entry that is held throughout, some of them twice, even if segments split or join
   * between the calls. The fingerprint is always in the same array.
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

  /** Joins the segment at `index` only with one that the sweep has already passed, so that no entry is skipped. */
  #merge(segment: Segment, index: number): void {
    const bit = 2 ** (segment.depth - 1);
    if (index < bit) return;
    const sibling = this.#directory[index - bit] as Segment;
    if (sibling.depth !== segment.depth || !sibling.join(segment)) return;
    for (let at = index; at < this.#directory.length; at += 2 * bit) this.#directory[at] = sibling;
  }
}

/** The place after all others, see {@link TokenIndex.visit}. */
export const END_OF_PLACES = 2 ** 32;

function reverseBits(word: number): number {
  let reversed = 0;
  for (let bit = 0; bit < 32; bit++) reversed = (reversed << 1) | ((word >>> bit) & 1);
  return reversed;
}

/** Whether the segment's first element in the directory is the one at `index`; a sweep examines a segment there only. */
function isFirstElement(segment: Segment, index: number): boolean {
  return index < 2 ** segment.depth;
}
