import { connect, type Socket } from "node:net";
import { addressOf } from "./raw-http2.ts";

export interface HeldConnections {
  /** Connections that were established, open or closed. */
  readonly connected: number;
  /** Connections that the service has not closed. */
  readonly open: number;
  release(): void;
}

/** Opens `count` connections, sends `bytes` on each, and then stays silent. */
export async function holdConnections(
  address: string,
  {
    count,
    bytes,
    localAddress,
  }: {
    count: number;
    bytes?: Uint8Array | undefined;
    /** By the connection's index. */
    localAddress?: ((index: number) => string) | undefined;
  },
): Promise<HeldConnections> {
  const sockets: Socket[] = [];
  let connected = 0;
  let closed = 0;
  while (sockets.length < count) {
    const batch = Array.from({ length: Math.min(50, count - sockets.length) }, (_, index) =>
      connect({
        ...addressOf(address),
        ...(localAddress && { localAddress: localAddress(sockets.length + index) }),
      }),
    );
    sockets.push(...batch);
    await Promise.all(
      batch.map(
        (socket) =>
          new Promise<void>((resolve) => {
            socket.on("error", () => resolve());
            socket.once("close", () => closed++);
            socket.once("connect", () => {
              connected++;
              if (bytes !== undefined) socket.write(bytes);
              resolve();
            });
            // A service without descriptors leaves connections in the kernel's queue, which finally stops answering.
            socket.setTimeout(2000, () => resolve());
            socket.resume();
          }),
      ),
    );
  }
  return {
    get connected() {
      return connected;
    },
    get open() {
      return sockets.length - closed;
    },
    release() {
      for (const socket of sockets) socket.destroy();
    },
  };
}
