import { once } from "node:events";
import { connect } from "node:http2";
import { setTimeout as delay } from "node:timers/promises";
import { turn } from "../support/held-store.ts";
import { framed } from "../support/http2-call.ts";
import { callHeaders, FLAG, FRAME, frame, RawHttp2, setting, streamId } from "../support/raw-http2.ts";

interface Extent {
  readonly connections: number;
  readonly streams: number;
  readonly forMs: number;
}

/** SETTINGS_INITIAL_WINDOW_SIZE of 0: the peer accepts no DATA on any stream. */
const NO_WINDOW = setting(4, 0);

/** Makes calls whose responses do not fit into the peer's windows, and keeps them open. Resolves with the number of calls. */
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

/** Sends questions on one stream without a window for responses. Resolves with the number of questions sent before the stream was ended. */
export async function unreadStream(
  address: string,
  { path, message }: { path: string; message: Uint8Array },
  { count, forMs }: { count: number; forMs: number },
): Promise<number> {
  const session = connect(`http://${address}`, { settings: { initialWindowSize: 0 } });
  session.on("error", () => {});
  const stream = session.request({
    ":method": "POST",
    ":path": path,
    "content-type": "application/grpc",
    te: "trailers",
  });
  stream.on("error", () => {});
  const until = performance.now() + forMs;
  const over = new AbortController();
  const timer = setTimeout(() => over.abort(), forMs);
  // It has been refused or ended.
  for (const event of ["trailers", "close"]) stream.once(event, () => over.abort());
  const ended = once(over.signal, "abort");
  const question = framed(message);
  let sent = 0;
  while (sent < count && !over.signal.aborted) {
    sent++;
    // Each in its own frame, one after the other.
    await Promise.race([new Promise((resolve) => stream.write(question, resolve)), ended]);
    await turn();
  }
  await delay(Math.max(0, until - performance.now()), undefined, { signal: over.signal }).catch(() => {});
  clearTimeout(timer);
  session.destroy();
  return sent;
}

/** Sends as many questions on one stream of each connection as fit into its window, and reads nothing from the socket. */
export async function unreadSockets(
  address: string,
  { path, message }: { path: string; message: Uint8Array },
  { connections, forMs }: Omit<Extent, "streams">,
): Promise<number> {
  const question = frame(FRAME.data, 0, 1, framed(message));
  const count = Math.floor(65_535 / framed(message).length);
  const opened = await Promise.all(Array.from({ length: connections }, () => RawHttp2.open(address)));
  for (const http2 of opened) {
    http2.socket.pause();
    http2.socket.write(frame(FRAME.headers, FLAG.endHeaders, 1, callHeaders(path)));
    for (let index = 0; index < count; index++) http2.socket.write(question);
  }
  await delay(forMs);
  for (const http2 of opened) http2.close();
  return connections * count;
}
