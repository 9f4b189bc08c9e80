import { setTimeout as delay } from "node:timers/promises";
import { callHeaders, FLAG, FRAME, frame, RawHttp2, streamId } from "../support/raw-http2.ts";

interface Extent {
  readonly connections: number;
  readonly streams: number;
  /** Bytes of each message, of which the last one is never sent. */
  readonly bytes: number;
  readonly forMs: number;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Sends all but the last byte of one message on each stream, and keeps it open. Resolves with the number of streams. */
export async function unfinishedMessages(
  address: string,
  path: string,
  { connections, streams, bytes, forMs, headers }: Extent,
): Promise<number> {
  const until = performance.now() + forMs;
  const opened: RawHttp2[] = [];
  let begun = 0;
  await Promise.all(
    Array.from({ length: connections }, async () => {
      const http2 = await RawHttp2.open(address);
      opened.push(http2);
      const call = callHeaders(path, headers);
      const head = Buffer.alloc(5);
      head.writeUInt32BE(bytes, 1);
      for (let index = 0; index < streams && !http2.isClosed && performance.now() < until; index++) {
        const id = streamId(index);
        begun++;
        http2.socket.write(frame(FRAME.headers, FLAG.endHeaders, id, call));
        http2.socket.write(frame(FRAME.data, 0, id, head));
        for (let left = bytes - 1; left > 0; left -= CHUNK) {
          // A sender that ignores windows fills the service's socket buffers.
          const data = frame(FRAME.data, 0, id, ZEROS.subarray(0, Math.min(CHUNK, left)));
          if (http2.socket.write(data) || http2.isClosed) continue;
          await http2.drained(200);
          if (performance.now() > until) break;
        }
      }
    }),
  );
  await delay(Math.max(0, until - performance.now()));
  for (const http2 of opened) http2.close();
  return begun;
}

/** Sends a complete message on each stream, and does not half-close it. Resolves with the number of streams. */
export async function unendedCalls(
  address: string,
  path: string,
  { connections, streams, message, forMs, headers }: Omit<Extent, "bytes"> & { readonly message: Buffer },
): Promise<number> {
  const until = performance.now() + forMs;
  const opened: RawHttp2[] = [];
  const call = callHeaders(path, headers);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  const data = Buffer.concat([head, message]);
  let begun = 0;
  await Promise.all(
    Array.from({ length: connections }, async (_, place) => {
      const http2 = await RawHttp2.open(address);
      opened.push(http2);
      await delay(((forMs / streams) * place) / connections);
      for (let index = 0; index < streams && !http2.isClosed && performance.now() < until; index++) {
        begun++;
        http2.socket.write(frame(FRAME.headers, FLAG.endHeaders, streamId(index), call));
        http2.socket.write(frame(FRAME.data, 0, streamId(index), data));
        // Spread over the time, since decoding so many at once delays others as well-behaved calls do.
        await delay(forMs / streams);
      }
    }),
  );
  await delay(Math.max(0, until - performance.now()));
  for (const http2 of opened) http2.close();
  return begun;
}

/** Sends messages of `bytes` a byte at a time, each in its own frame, alternating between the streams. Resolves with the bytes sent. */
export async function trickledMessages(
  address: string,
  path: string,
  { streams, bytes, forMs, headers }: Omit<Extent, "connections">,
): Promise<number> {
  const http2 = await RawHttp2.open(address);
  const until = performance.now() + forMs;
  const head = Buffer.alloc(5);
  head.writeUInt32BE(bytes, 1);
  const ids = Array.from({ length: streams }, (_, index) => streamId(index));
  for (const id of ids) {
    http2.socket.write(frame(FRAME.headers, FLAG.endHeaders, id, callHeaders(path, headers)));
    http2.socket.write(frame(FRAME.data, 0, id, head));
  }
  const round = Buffer.concat(ids.map((id) => frame(FRAME.data, 0, id, Buffer.alloc(1))));
  let sent = 0;
  while (performance.now() < until && !http2.isClosed && sent < streams * (bytes - 1)) {
    sent += streams;
    if (!http2.socket.write(round)) await http2.drained(200);
  }
  await Promise.race([http2.closed, delay(Math.max(0, until - performance.now()))]);
  http2.close();
  return sent;
}

/** The default maximum frame size. */
const CHUNK = 16_384;
const ZEROS = Buffer.alloc(CHUNK);
