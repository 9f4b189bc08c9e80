/** Bytes of one entry in each column. */
const FINGERPRINT_BYTES = 16;
export const UNTIL_BYTES = 8;
/** 32-bit words of a fingerprint. */
const WORDS = 4;
/** Divides a time into two halves of 32 bits. */
const HALF = 2 ** 32;

/** Entries as they are sent to local copies, in two columns of the same order: the n-th fingerprint belongs to the n-th time. */
export interface EntryColumns {
  /** 16 bytes for each entry, see {@link Fingerprinter}. */
  readonly fingerprints: Uint8Array;
  /** When each entry stops being BLACKLISTED: eight bytes, milliseconds since 1970, little-endian, leeway included. */
  readonly until: Uint8Array;
}

/** Collects entries in columns. */
export class ColumnsBuilder {
  #fingerprints = new DataView(new ArrayBuffer(64 * FINGERPRINT_BYTES));
  #until = new DataView(new ArrayBuffer(64 * UNTIL_BYTES));
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Adds an entry that is BLACKLISTED `until` a time in milliseconds since 1970. */
  add(fingerprint: Int32Array, until: number): void {
    if (this.#size * UNTIL_BYTES === this.#until.byteLength) {
      this.#fingerprints = doubled(this.#fingerprints);
      this.#until = doubled(this.#until);
    }
    const at = this.#size++;
    for (let word = 0; word < WORDS; word++) {
      this.#fingerprints.setInt32(at * FINGERPRINT_BYTES + word * 4, fingerprint[word] as number, true);
    }
    this.#until.setUint32(at * UNTIL_BYTES, until, true);
    this.#until.setUint32(at * UNTIL_BYTES + 4, until / HALF, true);
  }

  /** Returns the entries added since the last call. */
  take(): EntryColumns {
    const columns = {
      fingerprints: new Uint8Array(this.#fingerprints.buffer.slice(0, this.#size * FINGERPRINT_BYTES)),
      until: new Uint8Array(this.#until.buffer.slice(0, this.#size * UNTIL_BYTES)),
    };
    this.#size = 0;
    return columns;
  }
}

/**
 * Calls `each` with every entry; the fingerprint is always in the same array. Throws a RangeError, before any call, if the columns
 * have different numbers of entries.
 */
export function eachOf(
  { fingerprints, until }: EntryColumns,
  each: (fingerprint: Int32Array, until: number) => void,
): void {
  const size = until.length / UNTIL_BYTES;
  if (!Number.isInteger(size) || fingerprints.length !== size * FINGERPRINT_BYTES) {
    throw new RangeError("the columns are not of the same length");
  }
  const prints = new DataView(fingerprints.buffer, fingerprints.byteOffset, fingerprints.length);
  const times = new DataView(until.buffer, until.byteOffset, until.length);
  const fingerprint = new Int32Array(WORDS);
  for (let at = 0; at < size; at++) {
    for (let word = 0; word < WORDS; word++) {
      fingerprint[word] = prints.getInt32(at * FINGERPRINT_BYTES + word * 4, true);
    }
    const low = times.getUint32(at * UNTIL_BYTES, true);
    each(fingerprint, times.getUint32(at * UNTIL_BYTES + 4, true) * HALF + low);
  }
}

/** Splits columns into parts of at most `count` entries, in order; yields one empty part if there are no entries. */
export function* inParts({ fingerprints, until }: EntryColumns, count: number): Generator<EntryColumns> {
  let from = 0;
  do {
    const to = from + count;
    yield {
      fingerprints: fingerprints.subarray(from * FINGERPRINT_BYTES, to * FINGERPRINT_BYTES),
      until: until.subarray(from * UNTIL_BYTES, to * UNTIL_BYTES),
    };
    from = to;
  } while (from * UNTIL_BYTES < until.length || from * FINGERPRINT_BYTES < fingerprints.length);
}

function doubled(view: DataView<ArrayBuffer>): DataView<ArrayBuffer> {
  const larger = new Uint8Array(2 * view.byteLength);
  larger.set(new Uint8Array(view.buffer));
  return new DataView(larger.buffer);
}
