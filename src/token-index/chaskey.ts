/** Messages are hashed in blocks of this many bytes. */
export const BLOCK_BYTES = 16;
const ROUNDS = 12;

/**
 * Chaskey-12, a keyed 128-bit hash made of 32-bit additions, rotations and exclusive ors, which JavaScript integers do natively.
 * Without the key it is infeasible to find messages whose hashes are related. For messages of exactly one block it is a
 * permutation: no two of them share a hash.
 *
 * N. Mouha and others, "Chaskey: An Efficient MAC Algorithm for 32-bit Microcontrollers" (SAC 2014,
 * https://eprint.iacr.org/2014/386), with the twelve rounds of https://eprint.iacr.org/2015/1182.
 */
export class Chaskey {
  readonly #key: Int32Array;
  readonly #fullKey: Int32Array;
  readonly #paddedKey: Int32Array;

  /** `key` has 16 bytes. */
  constructor(key: Uint8Array) {
    const view = new DataView(key.buffer, key.byteOffset, BLOCK_BYTES);
    this.#key = Int32Array.from([0, 4, 8, 12], (at) => view.getInt32(at, true));
    this.#fullKey = timesX(this.#key);
    this.#paddedKey = timesX(this.#fullKey);
  }

  /**
   * Writes the hash of the first `length` bytes of `message` into the four words of `hash`. The bytes of `message` from `length` to
   * the end of the block are overwritten with padding; `message` must have room for it.
   */
  hash(message: DataView, length: number, hash: Int32Array): void {
    const isFull = length > 0 && length % BLOCK_BYTES === 0;
    if (!isFull) pad(message, length);
    const closing = isFull ? this.#fullKey : this.#paddedKey;
    const last = isFull ? length - BLOCK_BYTES : length - (length % BLOCK_BYTES);
    let a = this.#key[0] as number;
    let b = this.#key[1] as number;
    let c = this.#key[2] as number;
    let d = this.#key[3] as number;
    for (let at = 0; at <= last; at += BLOCK_BYTES) {
      a ^= message.getInt32(at, true);
      b ^= message.getInt32(at + 4, true);
      c ^= message.getInt32(at + 8, true);
      d ^= message.getInt32(at + 12, true);
      if (at === last) {
        a ^= closing[0] as number;
        b ^= closing[1] as number;
        c ^= closing[2] as number;
        d ^= closing[3] as number;
      }
      for (let round = 0; round < ROUNDS; round++) {
        a = (a + b) | 0;
        b = ((b << 5) | (b >>> 27)) ^ a;
        a = (a << 16) | (a >>> 16);
        c = (c + d) | 0;
        d = ((d << 8) | (d >>> 24)) ^ c;
        a = (a + d) | 0;
        d = ((d << 13) | (d >>> 19)) ^ a;
        c = (c + b) | 0;
        b = ((b << 7) | (b >>> 25)) ^ c;
        c = (c << 16) | (c >>> 16);
      }
    }
    hash[0] = a ^ (closing[0] as number);
    hash[1] = b ^ (closing[1] as number);
    hash[2] = c ^ (closing[2] as number);
    hash[3] = d ^ (closing[3] as number);
  }
}

/** Pads with a one bit and zeros up to the end of the block. */
function pad(message: DataView, length: number): void {
  const end = length - (length % BLOCK_BYTES) + BLOCK_BYTES;
  message.setUint8(length, 1);
  for (let at = length + 1; at < end; at++) message.setUint8(at, 0);
}

/** The key as a polynomial over GF(2), times x, modulo x^128 + x^7 + x^2 + x + 1. */
function timesX(key: Int32Array): Int32Array {
  const carry = (word: number) => (key[word] as number) >>> 31;
  const low = carry(3) === 1 ? 0x87 : 0;
  return key.map((word, index) => (word << 1) ^ (index === 0 ? low : carry(index - 1)));
}
