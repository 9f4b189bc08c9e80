import { setTimeout as delay } from "node:timers/promises";
import { framed } from "../support/http2-call.ts";
import { callHeaders, FLAG, FRAME, frame, RawHttp2, setting, streamId } from "../support/raw-http2.ts";

interface Extent {
  readonly connections: number;
  readonly streams: number;
  readonly forMs: number;
}

/** SETTINGS_INITIAL_WINDOW_SIZE of 0: the peer takes no byte of DATA on any stream. */
const NO_WINDOW = setting(4, 0);

/** Makes calls whose answers the peer's windows leave no room for, and holds them. Resolves with how many calls were made. */
export async function closedWindows(
  address: string,
  calls: readonly { readonly path: string; readonly message: Uint8Array }[],
  { connections, streams, forMs }: Extent,
): Promise<number> {
  const opened = await Promise.all(
    Array.from({ length: connections }, () => RawHttp2.open(address, { settings: NO_WINDOW })),
  );
  let made = 0;
  await Promise.all(
    opened.map(async (http2) => {
      made += await http2.flood(
        (index) => {
          const { path, message } = calls[index % calls.length] as (typeof calls)[number];
          return Buffer.concat([
            frame(FRAME.headers, FLAG.endHeaders, streamId(index), callHeaders(path)),
            frame(FRAME.data, FLAG.endStream, streamId(index), framed(message)),
          ]);
        },
        { count: streams },
      );
    }),
  );
  await delay(forMs);
  for (const http2 of opened) http2.close();
  return made;
}

/**
 * Asks on one stream, again and again, without taking an answer: by the window of HTTP/2 or, with `tcp`, by not reading from the socket at all.
 * Resolves with how many questions were sent.
 */
export async function unreadStream(
  address: string,
  { path, message }: { path: string; message: Uint8Array },
  { count, forMs, tcp = false }: { count: number; forMs: number; tcp?: boolean },
): Promise<number> {
  const http2 = await RawHttp2.open(address, tcp ? {} : { settings: NO_WINDOW });
  if (tcp) http2.socket.pause();
  const until = performance.now() + forMs;
  const question = frame(FRAME.data, 0, 1, framed(message));
  http2.socket.write(frame(FRAME.headers, FLAG.endHeaders, 1, callHeaders(path)));
  const sent = await Promise.race([
    http2.flood(() => question, { count, atOnce: 20 }),
    delay(forMs, -1, { ref: false }),
  ]);
  await Promise.race([http2.closed, delay(Math.max(0, until - performance.now()))]);
  http2.close();
  return sent;
}
