import type { AddressInfo } from "node:net";
import { createServer, type Socket } from "node:net";
import { StartError } from "../errors.ts";
import { formatHostPort, type HostPort } from "../host-port.ts";

/** A listening socket and the connections that came in by it. */
export interface Listener {
  readonly address: HostPort;
  /** Takes no more connections. Resolves when the last one has been closed. */
  stop(): Promise<void>;
  /** Cuts every connection that is still open, whatever its peer does. */
  cut(): void;
}

/**
 * Listens for grpc-js, whose own shutdown leaves a connection open for as long as its peer does not close it. Throws
 * StartError when it cannot.
 */
export function listen({ host, port }: HostPort, onConnection: (socket: Socket) => void): Promise<Listener> {
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    onConnection(socket);
  });
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const why = error.code === "EADDRINUSE" ? "the port is in use" : error.message;
      const text = formatHostPort({ host, port });
      reject(new StartError(`cannot listen on LISTEN_ADDRESS ${text}: ${why}`, { cause: error }));
    });
    server.listen(port, host, () => {
      resolve({
        address: { host, port: (server.address() as AddressInfo).port },
        stop: () => new Promise((closed) => server.close(() => closed())),
        cut() {
          for (const socket of sockets) socket.destroy();
        },
      });
    });
  });
}
