import { MAX_CALL_HEADER_BYTES, MAX_CONCURRENT_STREAMS } from "../limits.ts";

/**
 * Maximum bytes of one encoded header block. After a larger block, further calls of its connection have no count, and are refused. Headers
 * within {@link MAX_CALL_HEADER_BYTES} are smaller when encoded, unless deliberately inflated.
 */
export const MAX_COUNTED_BLOCK_BYTES = 2 * MAX_CALL_HEADER_BYTES;

/** Connection preface, frames and flags: RFC 9113, sections 3.4, 4.1, 6.2 and 6.10. */
const PREFACE_BYTES = 24;
const FRAME_HEAD_BYTES = 9;
const HEADERS = 1;
const CONTINUATION = 9;
const END_HEADERS = 0x4;
const PADDED = 0x8;
const PRIORITY = 0x20;
const PRIORITY_BYTES = 5;

/**
 * Counts the header fields of each call in the bytes of an HTTP/2 connection. Node.js silently drops fields whose name or value holds
 * invalid characters; a call that sent more fields than Node.js shows has lost one.
 */
export class HeaderFieldCounter {
  /** The beginning of an incomplete frame. */
  #incomplete: Buffer | undefined;
  /** How many of the next bytes belong to the preface or to a frame without headers. */
  #skip = PREFACE_BYTES;
  /** The parts of the current header block, and their total length. */
  #parts: Buffer[] = [];
  #length = 0;
  /** Field counts by stream id, in ascending order, that have not been taken yet. */
  readonly #counts = new Map<number, number>();
  #lastStream = 0;
  /** Set after a header block that is too large: no further call gets a count. */
  #hasGivenUp = false;

  /** Processes the next bytes of the connection. */
  push(chunk: Buffer): void {
    if (this.#hasGivenUp) return;
    const bytes = this.#incomplete === undefined ? chunk : Buffer.concat([this.#incomplete, chunk]);
    this.#incomplete = undefined;
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
        this.#giveUp();
        return;
      }
      if (bytes.length < end) break;
      this.#takeFrame(type, bytes.subarray(at, end));
      if (this.#hasGivenUp) return;
      at = end;
    }
    if (at < bytes.length) this.#incomplete = bytes.subarray(at);
  }

  /** The number of fields that the call on this stream sent; undefined if unknown. To be called once per stream, in ascending order. */
  takeCount(stream: number): number | undefined {
    const count = this.#counts.get(stream);
    for (const earlier of this.#counts.keys()) {
      if (earlier > stream) break;
      this.#counts.delete(earlier);
    }
    return count;
  }

  #takeFrame(type: number, frame: Buffer): void {
    const flags = frame.readUInt8(4);
    const part = type === HEADERS ? withoutPadding(frame, flags) : frame.subarray(FRAME_HEAD_BYTES);
    this.#length += part.length;
    if (this.#length > MAX_COUNTED_BLOCK_BYTES) {
      this.#giveUp();
      return;
    }
    this.#parts.push(part);
    if ((flags & END_HEADERS) === 0) return;
    const block = this.#parts.length === 1 ? part : Buffer.concat(this.#parts);
    this.#parts = [];
    this.#length = 0;
    const stream = frame.readUInt32BE(5) & 0x7fffffff;
    // Later header blocks of a stream are trailers.
    if (stream <= this.#lastStream) return;
    this.#lastStream = stream;
    const fields = countFields(block);
    if (fields === undefined) return;
    this.#counts.set(stream, fields);
    // Counts of streams that HTTP/2 refuses are never taken, so drop the oldest count if there are more than open streams are allowed.
    const [oldest] = this.#counts.keys();
    if (this.#counts.size > MAX_CONCURRENT_STREAMS) this.#counts.delete(oldest as number);
  }

  #giveUp(): void {
    this.#hasGivenUp = true;
    this.#incomplete = undefined;
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
 * The number of fields in a header block (RFC 7541, section 6); undefined if the block is truncated. Nothing has to be decoded: each
 * instruction of the block states its own length, and is one field unless it changes the size of the dynamic table.
 */
export function countFields(block: Buffer): number | undefined {
  let at = 0;
  /** Reads the integer at `at` with a prefix of `bits` bits (section 5.1). NaN if the block ends within it. */
  const readInteger = (bits: number): number => {
    const max = (1 << bits) - 1;
    let value = (block[at++] ?? Number.NaN) & max;
    if (value < max) return value;
    for (let factor = 1; ; factor *= 128) {
      const next = block[at++];
      if (next === undefined) return Number.NaN;
      value += (next & 127) * factor;
      if (next < 128) return value;
    }
  };
  const skipString = (): void => {
    const length = readInteger(7);
    at = at + length <= block.length ? at + length : Number.NaN;
  };
  let fields = 0;
  while (at < block.length) {
    const first = block[at] as number;
    if ((first & 0xe0) === 0x20) {
      readInteger(5);
      continue;
    }
    fields++;
    if ((first & 0x80) !== 0) {
      readInteger(7);
      continue;
    }
    // The name is in the block only if its index is 0.
    if (readInteger((first & 0x40) !== 0 ? 6 : 4) === 0) skipString();
    skipString();
  }
  return at === block.length ? fields : undefined;
}
