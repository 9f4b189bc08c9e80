import { createServer, type Socket } from "node:net";
import { type Connections, peerName } from "../connections/connections.ts";
import type { HostPort } from "../connections/host-port.ts";
import { listen } from "../connections/http-listener.ts";
import { logRefused, TlsConnections, type TlsSetup } from "./tls-connections.ts";
import type { TlsContext } from "./tls-context.ts";

/** The listening socket of gRPC and its open connections. */
export interface Listener {
  readonly address: HostPort;
  /** Accepts no more connections. Resolves when the last one has closed. */
  stop(): Promise<void>;
  /** Destroys the connection whose {@link peerName} is `peer`; without `peer`, all open connections. */
  disconnect(peer?: string): void;
}

interface Setup extends Omit<TlsSetup, "tls"> {
  /** Undefined: connections are not encrypted. */
  readonly tls: TlsContext | undefined;
  /** Bounds the connections. */
  readonly connections: Connections;
}

/**
 * Listens on behalf of grpc-js, whose own shutdown leaves a connection open until its peer closes it. Throws StartError if it cannot
 * listen.
 */
export async function listenGrpc(
  requested: HostPort,
  { tls, connections, ...setup }: Setup,
): Promise<Listener> {
  const sockets = new Set<Socket>();
  const tlsConnections = tls && new TlsConnections({ ...setup, tls });
  // Connections are bounded before TLS, so that peers that never complete a handshake count too and can be disconnected.
  const server = createServer({ noDelay: true }, (socket) => {
    if (connections.accept(socket) === undefined) return;
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    if (tlsConnections === undefined) setup.onConnection(socket);
    else tlsConnections.accept(socket);
  });
  const address = await listen(server, requested, "LISTEN_ADDRESS");
  // Without a listener, a failed accept, for lack of file descriptors for example, would end the process.
  server.on("error", (error) =>
    logRefused(setup, "warn", { err: error }, "a connection could not be accepted"),
  );
  return {
    address,
    stop: () => {
      tls?.stop();
      return new Promise((resolve) => server.close(() => resolve()));
    },
    disconnect(peer) {
      for (const socket of sockets) {
        if (peer === undefined || peer === peerName(socket)) socket.destroy();
      }
    },
  };
}
