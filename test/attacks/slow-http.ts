import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { addressOf } from "../support/raw-http2.ts";

export interface SlowHttp {
  /** Connections closed by the service, of those opened. */
  readonly closed: number;
  readonly opened: number;
  /** Bytes sent by the service on all of them. */
  readonly received: number;
}

/** Sends `first` on each of `count` connections, then a byte of `more` occasionally, until the service closes them or `forMs` is over. */
async function trickle(
  address: string,
  { first, more, count, forMs }: { first: string; more: string; count: number; forMs: number },
): Promise<SlowHttp> {
  const sockets: Socket[] = [];
  let closed = 0;
  let received = 0;
  for (let index = 0; index < count; index++) {
    const socket = connect(addressOf(address));
    sockets.push(socket);
    socket.on("error", () => {});
    socket.once("close", () => closed++);
    socket.on("data", (bytes: Buffer) => {
      received += bytes.length;
    });
    await once(socket, "connect");
    socket.write(first);
  }
  const until = performance.now() + forMs;
  while (closed < count && performance.now() < until) {
    await delay(250);
    for (const socket of sockets) if (socket.writable) socket.write(more);
  }
  for (const socket of sockets) socket.destroy();
  return { closed, opened: count, received };
}

interface Extent {
  readonly count?: number;
  readonly forMs?: number;
}

/** Headers that never end, a byte at a time. */
export function slowHeaders(address: string, { count = 50, forMs = 15_000 }: Extent = {}): Promise<SlowHttp> {
  return trickle(address, { first: "GET /livez HTTP/1.1\r\nhost: a\r\nx-slow: ", more: "a", count, forMs });
}

/** A body that never ends, a byte at a time. */
export function slowBodies(address: string, { count = 50, forMs = 15_000 }: Extent = {}): Promise<SlowHttp> {
  const first = "POST /livez HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n";
  return trickle(address, { first, more: "a", count, forMs });
}

/** Connections without any request. */
export function silentHttp(address: string, { count = 50, forMs = 15_000 }: Extent = {}): Promise<SlowHttp> {
  return trickle(address, { first: "", more: "", count, forMs });
}
