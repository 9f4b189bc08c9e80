export type JtiKind = "uuid" | "opaque";

const HEXADECIMAL = Buffer.from("0123456789abcdef");
const BASE64URL = Buffer.from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");
const HYPHENS = new Set([8, 13, 18, 23]);
const HYPHEN = 0x2d;

/**
 * Jtis that are computed from distinct numbers (0 to 2^32 - 1): UUIDs in canonical text, or 43 characters of base64url. They look
 * random, and ten million are made in seconds.
 */
export class NumberedJtis {
  /** The last jti made. The buffer is reused, so that a loop that makes many leaves no garbage. */
  readonly bytes: Buffer;
  readonly #alphabet: Buffer;
  readonly #bits: number;
  readonly #places: readonly number[];

  constructor(kind: JtiKind) {
    const isUuid = kind === "uuid";
    this.bytes = Buffer.alloc(isUuid ? 36 : 43, HYPHEN);
    this.#alphabet = isUuid ? HEXADECIMAL : BASE64URL;
    this.#bits = isUuid ? 4 : 6;
    this.#places = [...this.bytes.keys()].filter((place) => !isUuid || !HYPHENS.has(place));
  }

  /** Writes the jti of this number into {@link bytes}. */
  make(number: number): Buffer {
    let word = 0;
    let left = 0;
    let words = 0;
    for (const place of this.#places) {
      if (left === 0) {
        word = mixed(number + words++ * 0x9e3779b9);
        left = Math.floor(32 / this.#bits);
      }
      this.bytes[place] = this.#alphabet[word & ((1 << this.#bits) - 1)] as number;
      word >>>= this.#bits;
      left--;
    }
    return this.bytes;
  }

  /** The jti as a new string: flat, like one from the network, and without a cached hash. */
  text(number: number): string {
    return this.make(number).toString("latin1");
  }
}

/** The last step of MurmurHash3: a permutation of 32 bits. */
function mixed(number: number): number {
  let bits = number | 0;
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}
