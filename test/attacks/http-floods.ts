import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { addressOf } from "../support/raw-http2.ts";

interface Extent {
  readonly connections: number;
  readonly forMs: number;
}

/** Sends `request` repeatedly on each connection, after each response, and reconnects when it is closed. Resolves with the number of requests. */
export function requests(address: string, request: string, extent: Extent): Promise<number> {
  return onConnections(address, extent, async (socket, isOver) => {
    let sent = 0;
    for (; !socket.destroyed && !isOver(); sent++) {
      socket.write(request);
      await next(socket, "data", 1000);
    }
    return sent;
  });
}

/** Sends `request` on each connection as often as its socket accepts it, and reads nothing. Resolves with the number of requests. */
export function unreadRequests(address: string, request: string, extent: Extent): Promise<number> {
  return onConnections(address, extent, async (socket, isOver) => {
    socket.pause();
    let sent = 0;
    for (; !socket.destroyed && !isOver(); sent += AT_ONCE) {
      if (!socket.write(request.repeat(AT_ONCE))) await next(socket, "drain", extent.forMs);
    }
    return sent;
  });
}

const AT_ONCE = 100;

/** Connects and disconnects. Resolves with the number of connections. */
export function knocks(
  address: string,
  { bytes = "", ...extent }: Extent & { bytes?: string | Uint8Array },
): Promise<number> {
  return onConnections(address, extent, async (socket) => {
    if (bytes.length > 0) {
      socket.write(bytes);
      await next(socket, "data", 20);
    }
    return 1;
  });
}

/** Runs `use` on new connections, `connections` at a time, until the time is over. Resolves with the sum of the results. */
async function onConnections(
  address: string,
  { connections, forMs }: Extent,
  use: (socket: Socket, isOver: () => boolean) => Promise<number>,
): Promise<number> {
  const until = performance.now() + forMs;
  const isOver = () => performance.now() >= until;
  let sum = 0;
  const lane = async () => {
    while (!isOver()) {
      const socket = await open(address);
      sum += await use(socket, isOver);
      socket.destroy();
      await delay(1);
    }
  };
  await Promise.all(Array.from({ length: connections }, lane));
  return sum;
}

async function open(address: string): Promise<Socket> {
  const socket = connect(addressOf(address));
  socket.on("error", () => {});
  await Promise.race([once(socket, "connect").catch(() => {}), delay(2000)]);
  socket.resume();
  return socket;
}

const ends = new WeakMap<Socket, Promise<unknown>>();

function closed(socket: Socket): Promise<unknown> {
  const end =
    ends.get(socket) ??
    (socket.destroyed ? Promise.resolve() : new Promise((resolve) => socket.once("close", resolve)));
  ends.set(socket, end);
  return end;
}

/** Resolves when data has arrived, the buffer is empty, the connection is closed, or after a timeout. */
async function next(socket: Socket, event: "data" | "drain", withinMs: number): Promise<void> {
  const over = new AbortController();
  const { signal } = over;
  await Promise.race([
    once(socket, event, { signal }).catch(() => {}),
    closed(socket),
    delay(withinMs, undefined, { signal }).catch(() => {}),
  ]);
  over.abort();
}
