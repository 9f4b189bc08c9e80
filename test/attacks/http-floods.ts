import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { addressOf } from "../support/raw-http2.ts";

interface Extent {
  readonly connections: number;
  readonly forMs: number;
}

/** Sends `request` repeatedly on each connection, after each response, and reconnects when it is closed. Resolves with the number of requests. */
export async function requests(
  address: string,
  request: string,
  { connections, forMs }: Extent,
): Promise<number> {
  const until = performance.now() + forMs;
  let sent = 0;
  const lane = async () => {
    while (performance.now() < until) {
      const socket = await open(address);
      while (!socket.destroyed && performance.now() < until) {
        socket.write(request);
        sent++;
        await next(socket, "data", 1000);
      }
      socket.destroy();
      await delay(1);
    }
  };
  await Promise.all(Array.from({ length: connections }, lane));
  return sent;
}

/** Sends `request` on each connection as often as its socket accepts it, and reads nothing. Resolves with the number of requests. */
export async function unreadRequests(
  address: string,
  request: string,
  { connections, forMs }: Extent,
): Promise<number> {
  const until = performance.now() + forMs;
  let sent = 0;
  const lane = async () => {
    while (performance.now() < until) {
      const socket = await open(address);
      socket.pause();
      while (!socket.destroyed && performance.now() < until) {
        sent += AT_ONCE;
        if (!socket.write(request.repeat(AT_ONCE))) {
          await next(socket, "drain", until - performance.now());
        }
      }
      socket.destroy();
      await delay(1);
    }
  };
  await Promise.all(Array.from({ length: connections }, lane));
  return sent;
}

const AT_ONCE = 100;

/** Connects and disconnects. Resolves with the number of connections. */
export async function knocks(
  address: string,
  { connections, forMs, bytes = "" }: Extent & { bytes?: string | Uint8Array },
): Promise<number> {
  const until = performance.now() + forMs;
  let count = 0;
  const lane = async () => {
    while (performance.now() < until) {
      const socket = await open(address);
      count++;
      if (bytes.length > 0) {
        socket.write(bytes);
        await next(socket, "data", 20);
      }
      socket.destroy();
      await delay(1);
    }
  };
  await Promise.all(Array.from({ length: connections }, lane));
  return count;
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
