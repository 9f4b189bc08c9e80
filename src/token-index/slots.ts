/** Words of a slot: four of fingerprint, then the two halves of the expiry. */
const SLOT = 6;
const LOW = 4;
const HIGH = 5;
const HALF = 2 ** 32;

/**
 * Slots for entries, numbered from 0, all free at first: 25 bytes each.
 *
 * One byte of a fingerprint, its tag, is kept apart. The tags are small enough for the processor's cache long after
 * the slots are not, and tell nearly always which slot holds what is looked for, or that none does: there is one wait
 * for memory for what is found, and none for what is not.
 */
export class Slots {
  readonly length: number;
  readonly #words: Int32Array;
  /** 0 where a slot is free. */
  readonly #tags: Uint8Array;

  constructor(length: number) {
    this.length = length;
    this.#words = new Int32Array(length * SLOT);
    this.#tags = new Uint8Array(length);
  }

  get bytes(): number {
    return this.#words.byteLength + this.#tags.byteLength;
  }

  /** Searches from a slot to the next that is free; -1 when none of them has this fingerprint. */
  find(print: Int32Array, from: number): number {
    const tags = this.#tags;
    const tag = tagOf(print);
    for (let slot = from; tags[slot] !== 0; slot++) {
      if (tags[slot] === tag && this.#holds(slot, print)) return slot;
    }
    return -1;
  }

  isFree(slot: number): boolean {
    return this.#tags[slot] === 0;
  }

  /** The first word of a fingerprint. */
  firstOf(slot: number): number {
    return this.#words[slot * SLOT] as number;
  }

  secondOf(slot: number): number {
    return this.#words[slot * SLOT + 1] as number;
  }

  expiryOf(slot: number): number {
    const at = slot * SLOT;
    return (this.#words[at + HIGH] as number) * HALF + ((this.#words[at + LOW] as number) >>> 0);
  }

  setExpiry(slot: number, expiresAt: number): void {
    const at = slot * SLOT;
    this.#words[at + LOW] = expiresAt;
    this.#words[at + HIGH] = expiresAt / HALF;
  }

  /** Puts an entry into a slot; what stands there, and behind it up to the slot `free`, moves on by one. */
  insert(slot: number, free: number, print: Int32Array, expiresAt: number): void {
    const words = this.#words;
    const at = slot * SLOT;
    words.copyWithin(at + SLOT, at, free * SLOT);
    this.#tags.copyWithin(slot + 1, slot, free);
    for (let word = 0; word < LOW; word++) words[at + word] = print[word] as number;
    this.#tags[slot] = tagOf(print);
    this.setExpiry(slot, expiresAt);
  }

  /** Moves an entry of `source`, which may be the same, to a free slot. */
  move(source: Slots, from: number, to: number): void {
    for (let word = 0; word < SLOT; word++) {
      this.#words[to * SLOT + word] = source.#words[from * SLOT + word] as number;
    }
    this.#tags[to] = source.#tags[from] as number;
    source.free(from);
  }

  free(slot: number): void {
    this.#tags[slot] = 0;
  }

  /** Copies the fingerprint out of a slot. */
  read(slot: number, print: Int32Array): void {
    for (let word = 0; word < LOW; word++) print[word] = this.#words[slot * SLOT + word] as number;
  }

  #holds(slot: number, print: Int32Array): boolean {
    const words = this.#words;
    const at = slot * SLOT;
    return (
      words[at] === print[0] &&
      words[at + 1] === print[1] &&
      words[at + 2] === print[2] &&
      words[at + 3] === print[3]
    );
  }
}

function tagOf(print: Int32Array): number {
  return (print[2] as number) & 0xff || 1;
}
