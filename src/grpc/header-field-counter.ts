import { MAX_CONCURRENT_STREAMS, MAX_COUNTED_BLOCK_BYTES } from "../limits.ts";

/** RFC 9113: sections 3.4, 4.1, 6.2 and 6.10. */
const PREFACE_BYTES = 24;
const FRAME_HEAD_BYTES = 9;
const HEADERS = 1;
const CONTINUATION = 9;
const END_HEADERS = 0x4;
const PADDED = 0x8;
const PRIORITY = 0x20;
const PRIORITY_BYTES = 5;

/**
 * Counts the header fields that a client sends with each call, in the bytes of its HTTP/2 connection. Node.js drops a field whose name or value holds
 * characters that are not allowed, without a word; a call that has brought more fields than Node.js shows has lost one.
 */
export class HeaderFieldCounter {
  /** The beginning of a frame that has not arrived in full. */
  #held: Buffer | undefined;
  /** Bytes that are passed over. */
  #skip = PREFACE_BYTES;
  /** The parts of a header block, up to now, and their length. */
  #parts: Buffer[] = [];
  #length = 0;
  /** By the ids of the streams, which grow; of those that nobody has asked for. */
  readonly #counts = new Map<number, number>();
  #lastStream = 0;
  /** From here on nothing can be said: no call has a count. */
  #isLost = false;

  /** The next bytes of the connection. */
  push(chunk: Buffer): void {
    if (this.#isLost) return;
    const bytes = this.#held === undefined ? chunk : Buffer.concat([this.#held, chunk]);
    this.#held = undefined;
    let at = 0;
    for (;;) {
      const skipped = Math.min(this.#skip, bytes.length - at);
      this.#skip -= skipped;
      at += skipped;
      if (bytes.length - at < FRAME_HEAD_BYTES) break;
      const end = at + FRAME_HEAD_BYTES + bytes.readUIntBE(at, 3);
      const type = bytes.readUInt8(at + 3);
      if (type !== HEADERS && type !== CONTINUATION) {
        this.#skip = end - at;
        continue;
      }
      if (end - at > MAX_COUNTED_BLOCK_BYTES) {
        this.#lose();
        return;
      }
      if (bytes.length < end) break;
      this.#take(type, bytes.subarray(at, end));
      if (this.#isLost) return;
      at = end;
    }
    if (at < bytes.length) this.#held = bytes.subarray(at);
  }

  /** How many fields the call of this stream has brought; undefined where that is not known. Asked once for each, in their order. */
  claim(stream: number): number | undefined {
    const count = this.#counts.get(stream);
    for (const earlier of this.#counts.keys()) {
      if (earlier > stream) break;
      this.#counts.delete(earlier);
    }
    return count;
  }

  #take(type: number, frame: Buffer): void {
    const flags = frame.readUInt8(4);
    const part = type === HEADERS ? withoutPadding(frame, flags) : frame.subarray(FRAME_HEAD_BYTES);
    this.#length += part.length;
    if (this.#length > MAX_COUNTED_BLOCK_BYTES) {
      this.#lose();
      return;
    }
    this.#parts.push(part);
    if ((flags & END_HEADERS) === 0) return;
    const block = this.#parts.length === 1 ? part : Buffer.concat(this.#parts);
    this.#parts = [];
    this.#length = 0;
    const stream = frame.readUInt32BE(5) & 0x7fffffff;
    // What comes later on a stream are trailers.
    if (stream <= this.#lastStream) return;
    this.#lastStream = stream;
    const fields = countFields(block);
    if (fields === undefined) return;
    this.#counts.set(stream, fields);
    // Streams that HTTP/2 refuses are never asked for. A connection has no more than so many that it does not.
    const [oldest] = this.#counts.keys();
    if (this.#counts.size > MAX_CONCURRENT_STREAMS) this.#counts.delete(oldest as number);
  }

  #lose(): void {
    this.#isLost = true;
    this.#held = undefined;
    this.#parts = [];
    this.#counts.clear();
  }
}

function withoutPadding(frame: Buffer, flags: number): Buffer {
  const isPadded = (flags & PADDED) !== 0 && frame.length > FRAME_HEAD_BYTES;
  const padding = isPadded ? frame.readUInt8(FRAME_HEAD_BYTES) : 0;
  const start = FRAME_HEAD_BYTES + (isPadded ? 1 : 0) + ((flags & PRIORITY) === 0 ? 0 : PRIORITY_BYTES);
  return frame.subarray(start, Math.max(start, frame.length - padding));
}

/**
 * The fields of a header block (RFC 7541, section 6): nothing has to be decoded for it, since each representation is one field, unless it
 * changes the size of the table, and says how long it is. Undefined where it is cut off.
 */
export function countFields(block: Buffer): number | undefined {
  let at = 0;
  /** The integer at `at`, whose first byte has `bits` of it (section 5.1). NaN where the block ends within. */
  const integer = (bits: number): number => {
    const most = (1 << bits) - 1;
    let value = (block[at++] ?? Number.NaN) & most;
    if (value < most) return value;
    for (let factor = 1; ; factor *= 128) {
      const next = block[at++];
      if (next === undefined) return Number.NaN;
      value += (next & 127) * factor;
      if (next < 128) return value;
    }
  };
  const string = (): void => {
    const length = integer(7);
    at = at + length <= block.length ? at + length : Number.NaN;
  };
  let fields = 0;
  while (at < block.length) {
    const first = block[at] as number;
    if ((first & 0xe0) === 0x20) {
      integer(5);
      continue;
    }
    fields++;
    if ((first & 0x80) !== 0) {
      integer(7);
      continue;
    }
    if (integer((first & 0x40) !== 0 ? 6 : 4) === 0) string();
    string();
  }
  return at === block.length ? fields : undefined;
}
