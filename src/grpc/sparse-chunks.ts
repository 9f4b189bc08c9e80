import type { ServerHttp2Stream } from "node:http2";
import { Duplex } from "node:stream";

/**
 * Has streams of this kind copy what they receive, if it is less than half of the read that it came in. Node.js passes on parts of reads of
 * 64 KiB, and a message of which one byte has arrived would keep all of one for as long as the rest takes.
 *
 * Set on the prototype, since the first part is received before the stream is made known.
 */
export function copySparseChunks(stream: ServerHttp2Stream): void {
  const prototype = Object.getPrototypeOf(stream);
  if (Object.hasOwn(prototype, "push")) return;
  Object.defineProperty(prototype, "push", { value: push, configurable: true, writable: true });
}

/** A copy in memory of its own: Buffer.from would put it into a pool, of which a copy keeps all. */
function copyOf(chunk: Buffer): Buffer {
  return Uint8Array.prototype.slice.call(chunk) as Buffer;
}

function push(this: Duplex, chunk: Buffer | null, encoding?: BufferEncoding): boolean {
  const isSparse = chunk !== null && 2 * chunk.length < chunk.buffer.byteLength;
  return Duplex.prototype.push.call(this, isSparse ? copyOf(chunk) : chunk, encoding);
}
