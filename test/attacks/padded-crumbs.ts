import { setTimeout as delay } from "node:timers/promises";
import { callHeaders, FLAG, FRAME, frame, RawHttp2, streamId } from "../support/raw-http2.ts";

/** A type of frames that HTTP/2 does not define, and that receivers ignore. */
const UNKNOWN = 0xfa;
const READ_BYTES = 64 * 1024;

interface Extent {
  readonly connections: number;
  readonly streams: number;
  readonly forMs: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** What is sent of each message, with its length; default: the first byte. */
  readonly sent?: Buffer;
}

const FIRST_BYTE = Buffer.from([0, 0, 0, 0, 100, 10]);

/**
 * Begins or sends messages, and follows each by ignored frames that fill a read of the service: what is kept of a message must not keep the rest
 * of the read. Resolves with the number of messages.
 */
export async function paddedCrumbs(
  address: string,
  path: string,
  { connections, streams, forMs, headers, sent = FIRST_BYTE }: Extent,
): Promise<number> {
  const until = performance.now() + forMs;
  const padding = Buffer.concat(
    Array.from({ length: 4 }, () => frame(UNKNOWN, 0, 0, Buffer.alloc(READ_BYTES / 4 - 100))),
  );
  const call = callHeaders(path, headers);
  const opened: RawHttp2[] = [];
  let begun = 0;
  const one = async () => {
    const http2 = await RawHttp2.open(address);
    opened.push(http2);
    for (let index = 0; index < streams && !http2.isClosed && performance.now() < until; index++) {
      const id = streamId(index);
      begun++;
      http2.socket.write(frame(FRAME.headers, FLAG.endHeaders, id, call));
      http2.socket.write(frame(FRAME.data, 0, id, sent));
      if (!http2.socket.write(padding)) await http2.drained(200);
    }
  };
  await Promise.all(Array.from({ length: connections }, one));
  await delay(Math.max(0, until - performance.now()));
  for (const http2 of opened) http2.close();
  return begun;
}
