import { hkdfSync } from "node:crypto";
import { MAX_KEY_BYTES } from "../limits.ts";
import { isAsciiEntryKey, isEntryKey } from "../token-identity.ts";
import { BLOCK_BYTES, Chaskey } from "./chaskey.ts";
import { packUuid, UUID_LENGTH } from "./uuid.ts";

/** The name of the algorithm, as sent to local copies. Another algorithm needs another name. */
export const HASH_NAME = "chaskey12-uuid-1";

/** Bytes of the secret key with which fingerprints are made. */
export const FINGERPRINT_KEY_BYTES = 32;

/**
 * Computes the 128-bit fingerprints of entries' keys with a keyed hash, so that choosing keys does not allow choosing their positions in the
 * table. Two keys collide with a probability of 2^-128 per pair; two UUIDs in canonical text never do.
 */
export class Fingerprinter {
  /** The last fingerprint. */
  readonly #words = new Int32Array(4);
  readonly #uuids: Chaskey;
  readonly #others: Chaskey;
  readonly #encoder = new TextEncoder();
  /** The bytes to be hashed, with room for padding, and for one byte more to detect a key that is too long. */
  readonly #scratch = new Uint8Array(MAX_KEY_BYTES + 1 + BLOCK_BYTES);
  readonly #view = new DataView(this.#scratch.buffer);

  /** `fingerprintKey`, the key of the hash, has 32 bytes and is secret. */
  constructor(fingerprintKey: Uint8Array) {
    if (fingerprintKey.length !== FINGERPRINT_KEY_BYTES) {
      throw new RangeError(`the key must have ${FINGERPRINT_KEY_BYTES} bytes`);
    }
    this.#uuids = new Chaskey(subKey(fingerprintKey, "token-index uuid"));
    this.#others = new Chaskey(subKey(fingerprintKey, "token-index other"));
  }

  /**
   * The fingerprint of an entry's key, given as text or as UTF-8 bytes, which give the same result. The returned array is reused by the next call.
   * Throws a RangeError if the key has more than 255 bytes.
   */
  hash(key: string | Uint8Array): Int32Array {
    if (key.length === UUID_LENGTH && packUuid(textOf(key), this.#view)) {
      this.#uuids.hash(this.#view, BLOCK_BYTES, this.#words);
    } else this.#hashOther(key);
    return this.#words;
  }

  /**
   * {@link hash} for unvalidated text; undefined if no entry may have it as its key. Validation is combined with hashing because a separate
   * pass would take a considerable part of the time.
   */
  hashIfKey(text: string): Int32Array | undefined {
    if (text.length === UUID_LENGTH && packUuid(text, this.#view)) {
      this.#uuids.hash(this.#view, BLOCK_BYTES, this.#words);
      return this.#words;
    }
    const { written } = this.#encoder.encodeInto(text, this.#scratch);
    // As many bytes as characters means that all are ASCII, which cannot be ill-formed.
    const isPlain = written === text.length && written > 0 && written <= MAX_KEY_BYTES;
    if (!(isPlain ? isAsciiEntryKey(text) : isEntryKey(text))) return undefined;
    this.#others.hash(this.#view, written, this.#words);
    return this.#words;
  }

  #hashOther(key: string | Uint8Array): void {
    const length =
      typeof key === "string" ? this.#encoder.encodeInto(key, this.#scratch).written : this.#copyBytes(key);
    if (length > MAX_KEY_BYTES) throw new RangeError(`a key has at most ${MAX_KEY_BYTES} bytes`);
    this.#others.hash(this.#view, length, this.#words);
  }

  #copyBytes(bytes: Uint8Array): number {
    const { length } = bytes;
    if (length <= MAX_KEY_BYTES) for (let at = 0; at < length; at++) this.#scratch[at] = bytes[at] as number;
    return length;
  }
}

function subKey(fingerprintKey: Uint8Array, label: string): Uint8Array {
  return new Uint8Array(hkdfSync("sha256", fingerprintKey, "", label, BLOCK_BYTES));
}

/** Bytes as text, one character per byte: a canonical UUID has no other characters. */
function textOf(key: string | Uint8Array): string {
  if (typeof key === "string") return key;
  return (Buffer.isBuffer(key) ? key : Buffer.from(key)).toString("latin1");
}
