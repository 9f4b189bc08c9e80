import type { ServerHttp2Stream } from "node:http2";
import { Duplex } from "node:stream";

/**
 * Makes all HTTP/2 server streams of this process copy each received chunk that is smaller than half of its buffer, unless it is a whole message. Node.js reads into
 * buffers of 64 KiB and passes on views of them, so a single byte of an incomplete message would keep 64 KiB until the rest arrives.
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
  return Duplex.prototype.push.call(
    this,
    isSmallPart && !isFirstMessage(this, chunk) ? copyOf(chunk) : chunk,
    encoding,
  );
}

/**
 * Whether the chunk is a stream's first and holds exactly one message: grpc-js decodes it at once and keeps none of it, and copying every
 * message would take several percent of a call's time. Only for the first chunk is it known that it begins with a message.
 */
function isFirstMessage(stream: Duplex, chunk: Buffer): boolean {
  return (
    !stream.readableDidRead &&
    stream.readableLength === 0 &&
    chunk.length >= FRAME_BYTES &&
    chunk.readUInt32BE(1) === chunk.length - FRAME_BYTES
  );
}

/** Each message of gRPC is preceded by a flag and a length. */
const FRAME_BYTES = 5;
