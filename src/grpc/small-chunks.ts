import type { ServerHttp2Stream } from "node:http2";
import { Duplex } from "node:stream";

/**
 * Makes all HTTP/2 server streams of this process copy each received chunk that is smaller than half of its buffer. Node.js reads into
 * buffers of 64 KiB and passes on views of them, so a single byte of an incomplete message would keep 64 KiB until the rest arrives. A whole message is copied too: grpc-js keeps
 * what it has received of a stream's last message until the next one, for as long as the stream is open.
 * `stream` may be any HTTP/2 server stream: the prototype of all of them is changed, once, since a stream receives its first chunk before the
 * server is told of the stream.
 */
export function copySmallChunks(stream: ServerHttp2Stream): void {
  const prototype = Object.getPrototypeOf(stream);
  if (Object.hasOwn(prototype, "push")) return;
  Object.defineProperty(prototype, "push", { value: push, configurable: true, writable: true });
}

/** A copy with an ArrayBuffer of its own: Buffer.from would use a part of a pool, and keep the whole pool in memory. */
function copyOf(chunk: Buffer): Buffer {
  return Uint8Array.prototype.slice.call(chunk) as Buffer;
}

function push(this: Duplex, chunk: Buffer | null, encoding?: BufferEncoding): boolean {
  const isSmallPart = chunk !== null && 2 * chunk.length < chunk.buffer.byteLength;
  return Duplex.prototype.push.call(this, isSmallPart ? copyOf(chunk) : chunk, encoding);
}
