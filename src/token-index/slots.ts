/** Words of a slot: those of the fingerprint, then the lower and the higher half of the expiry. */
const FINGERPRINT_WORDS = 4;
const LOW = 4;
const HIGH = 5;
const SLOT_WORDS = 6;
/** One more than the largest lower half. */
const HALF = 2 ** 32;

/**
 * Slots for entries, numbered from 0, all free at first: 25 bytes each.
 *
 * One byte of each fingerprint, its tag, is kept in a separate array, which fits into the processor's cache even when the slots do
 * not. Nearly always the tags alone show which slot holds a fingerprint, or that none does.
 */
export class Slots {
  readonly length: number;
  readonly #words: Int32Array;
  /** 0 for a free slot. */
  readonly #tags: Uint8Array;

  constructor(length: number) {
    this.length = length;
    this.#words = new Int32Array(length * SLOT_WORDS);
    this.#tags = new Uint8Array(length);
  }

  get bytes(): number {
    return this.#words.byteLength + this.#tags.byteLength;
  }

  /** Searches from a slot up to the next free one; -1 if no slot has this fingerprint. */
  find(fingerprint: Int32Array, from: number): number {
    const tags = this.#tags;
    const tag = tagOf(fingerprint);
    for (let slot = from; tags[slot] !== 0; slot++) {
      if (tags[slot] === tag && this.#holds(slot, fingerprint)) return slot;
    }
    return -1;
  }

  isFree(slot: number): boolean {
    return this.#tags[slot] === 0;
  }

  /** The first word of a slot's fingerprint. */
  firstOf(slot: number): number {
    return this.#words[slot * SLOT_WORDS] as number;
  }

  secondOf(slot: number): number {
    return this.#words[slot * SLOT_WORDS + 1] as number;
  }

  /** In milliseconds since 1970. */
  expiryOf(slot: number): number {
    const at = slot * SLOT_WORDS;
    return (this.#words[at + HIGH] as number) * HALF + ((this.#words[at + LOW] as number) >>> 0);
  }

  setExpiry(slot: number, expiresAt: number): void {
    const at = slot * SLOT_WORDS;
    this.#words[at + LOW] = expiresAt;
    this.#words[at + HIGH] = expiresAt / HALF;
  }

  /** Inserts an entry at `slot`; the entries from there up to the free slot `free` each move to the next higher slot. */
  insert(slot: number, free: number, fingerprint: Int32Array, expiresAt: number): void {
    const words = this.#words;
    const at = slot * SLOT_WORDS;
    words.copyWithin(at + SLOT_WORDS, at, free * SLOT_WORDS);
    this.#tags.copyWithin(slot + 1, slot, free);
    for (let word = 0; word < FINGERPRINT_WORDS; word++) words[at + word] = fingerprint[word] as number;
    this.#tags[slot] = tagOf(fingerprint);
    this.setExpiry(slot, expiresAt);
  }

  /** Moves an entry of `source`, which may be this object, to a free slot. */
  move(source: Slots, from: number, to: number): void {
    for (let word = 0; word < SLOT_WORDS; word++) {
      this.#words[to * SLOT_WORDS + word] = source.#words[from * SLOT_WORDS + word] as number;
    }
    this.#tags[to] = source.#tags[from] as number;
    source.free(from);
  }

  free(slot: number): void {
    this.#tags[slot] = 0;
  }

  copyFingerprint(slot: number, fingerprint: Int32Array): void {
    for (let word = 0; word < FINGERPRINT_WORDS; word++)
      fingerprint[word] = this.#words[slot * SLOT_WORDS + word] as number;
  }

  #holds(slot: number, fingerprint: Int32Array): boolean {
    const words = this.#words;
    const at = slot * SLOT_WORDS;
    return (
      words[at] === fingerprint[0] &&
      words[at + 1] === fingerprint[1] &&
      words[at + 2] === fingerprint[2] &&
      words[at + 3] === fingerprint[3]
    );
  }
}

/** 1 to 255. */
function tagOf(fingerprint: Int32Array): number {
  return (fingerprint[2] as number) & 0xff || 1;
}
