import { Fingerprinter } from "./fingerprint.ts";
import { Segment } from "./segment.ts";

/**
 * A set of tokens and when each expires, in some 40 bytes a token: between 29 and 57, as its tables fill and split.
 *
 * It holds a keyed 128-bit fingerprint in place of a jti. What was added is always found until it is swept; that a
 * jti is found which was not added has a chance of 2^-128 for each that was. To look up, or to add, takes well below
 * a microsecond, and now and then 0.2 ms, when a table is split: however many entries there are. It knows no clock: an
 * entry that has expired is there until {@link sweep} forgets it.
 *
 * The segments are found by the last bits of a fingerprint's second word (extendible hashing): the directory has a
 * place for each value of these bits, and a segment that needs fewer bits stands in several.
 */
export class TokenIndex {
  readonly #fingerprinter: Fingerprinter;
  #directory: Segment[] = [new Segment()];
  #size = 0;
  /** The place in the directory at which the next sweep goes on. */
  #sweepAt = 0;

  /** `key` has 32 bytes, and is a secret of the deployment: who knows it can choose jtis that make the index slow. */
  constructor(key: Uint8Array) {
    this.#fingerprinter = new Fingerprinter(key);
  }

  /** Entries held, expired or not. */
  get size(): number {
    return this.#size;
  }

  /** Bytes of the tables held. What has been given up is not counted, although it is freed a little later only. */
  get bytes(): number {
    return this.#directory.reduce((sum, segment, at) => sum + (isFirst(segment, at) ? segment.bytes : 0), 0);
  }

  /**
   * Adds a token, or keeps the later expiry of the two when it is there already. `jti` is the text or, the same token,
   * its UTF-8: 1 to 255 bytes, well-formed. `expiresAt` is in whole milliseconds since 1970, from 1 to MAX_EPOCH_MS.
   * Throws a RangeError when `jti` is longer.
   */
  add(jti: string | Uint8Array, expiresAt: number): void {
    this.put(this.#fingerprinter.take(jti), expiresAt);
  }

  /**
   * The fingerprint of a jti: four words, always in the same array, which holds it until the index is given another jti. Throws as
   * {@link add} does.
   */
  fingerprintOf(jti: string | Uint8Array): Int32Array {
    return this.#fingerprinter.take(jti);
  }

  /** The same of a text that nobody has checked; undefined where it is no jti. */
  fingerprintIfJti(text: string): Int32Array | undefined {
    return this.#fingerprinter.takeIfJti(text);
  }

  /** Adds a token by its fingerprint, which was made with the same key. */
  put(print: Int32Array, expiresAt: number): void {
    for (;;) {
      const segment = this.#segmentOf(print);
      const before = segment.size;
      if (segment.put(print, expiresAt)) {
        this.#size += segment.size - before;
        return;
      }
      this.#split(segment, print[1] as number);
    }
  }

  /** When the token expires or expired, in milliseconds since 1970; 0 when it is not held. Throws as {@link add} does. */
  expiryOf(jti: string): number {
    return this.expiryAt(this.#fingerprinter.take(jti));
  }

  /** The same by its fingerprint, which was made with the same key. */
  expiryAt(print: Int32Array): number {
    return this.#segmentOf(print).expiryOf(print);
  }

  /**
   * Forgets the entries that expire at `cutoff` or before in the next so many segments, and says how many went. Goes
   * on where the last sweep ended, and at the end from the beginning: whatever is held when it begins there has been
   * looked at when it is there again, additions in between or not. No segment is looked at twice in a call, so that
   * Infinity is all of them. Memory of which little is used any more is given back.
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
   * Hands over the entries of one segment, in no order, and says from which place to go on: begun at 0 and gone on with until
   * the place is {@link LAST_PLACE}, everything that is held throughout is handed over, whatever is added, swept, split or joined
   * in between; some of it twice. `each` gets the fingerprint always in the same array.
   *
   * A place is a fingerprint's second word with its bits in reverse order: so the entries of a segment lie in one piece, and those
   * of two that part or join too.
   */
  visit(place: number, each: (print: Int32Array, expiresAt: number) => void): number {
    const segment = this.#directory[reverseBits(place) & (this.#directory.length - 1)] as Segment;
    segment.visit(each);
    const covered = 2 ** (32 - segment.depth);
    return (Math.floor(place / covered) + 1) * covered;
  }

  #segmentOf(print: Int32Array): Segment {
    return this.#directory[(print[1] as number) & (this.#directory.length - 1)] as Segment;
  }

  #split(segment: Segment, word: number): void {
    const bit = 2 ** segment.depth;
    if (bit === this.#directory.length) this.#directory = this.#directory.concat(this.#directory);
    const sibling = segment.split();
    for (let at = (word & (bit - 1)) + bit; at < this.#directory.length; at += 2 * bit)
      this.#directory[at] = sibling;
  }

  /** Only into what this round of sweeping has looked at already: it must not pass over anything. */
  #merge(segment: Segment, place: number): void {
    const bit = 2 ** (segment.depth - 1);
    if (place < bit) return;
    const sibling = this.#directory[place - bit] as Segment;
    if (sibling.depth !== segment.depth || !sibling.join(segment)) return;
    for (let at = place; at < this.#directory.length; at += 2 * bit) this.#directory[at] = sibling;
  }
}

/** Behind all places of {@link TokenIndex.visit}. */
export const LAST_PLACE = 2 ** 32;

function reverseBits(word: number): number {
  let reversed = 0;
  for (let bit = 0; bit < 32; bit++) reversed = (reversed << 1) | ((word >>> bit) & 1);
  return reversed;
}

/** Of the places that a segment has in the directory, each sweep looks at it in the first. */
function isFirst(segment: Segment, place: number): boolean {
  return place < 2 ** segment.depth;
}
