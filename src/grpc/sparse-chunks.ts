import type { ServerHttp2Stream } from "node:http2";
import { Duplex } from "node:stream";

/**
 * Makes all HTTP/2 streams of the server copy each chunk that they receive, if it is less than half of its buffer. Node.js reads 64 KiB at a
 * time and passes on views of that, so a single byte of an incomplete message would keep 64 KiB until the rest arrives. `stream` is any of
 * them: their common prototype is changed, since a stream receives its first chunk before it is known here.
 */
export function copySparseChunks(stream: ServerHttp2Stream): void {
  const prototype = Object.getPrototypeOf(stream);
  if (Object.hasOwn(prototype, "push")) return;
  Object.defineProperty(prototype, "push", { value: push, configurable: true, writable: true });
}

/** A copy in memory of its own: Buffer.from would use a part of a pool, and keep the whole pool. */
function copyOf(chunk: Buffer): Buffer {
  return Uint8Array.prototype.slice.call(chunk) as Buffer;
}

function push(this: Duplex, chunk: Buffer | null, encoding?: BufferEncoding): boolean {
  const isSparse = chunk !== null && 2 * chunk.length < chunk.buffer.byteLength;
  return Duplex.prototype.push.call(this, isSparse ? copyOf(chunk) : chunk, encoding);
}
