import type { Server } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { Connection, Connections } from "./connections.ts";
import { StartError } from "./errors.ts";
import { formatHostPort, type HostPort } from "./host-port.ts";

export interface HttpListener {
  /** With the port that was given where 0 was asked for. */
  readonly address: HostPort;
  /** Takes no more connections, and cuts those that are open. */
  close(): Promise<void>;
}

/**
 * Has `server` listen, its connections bounded by `connections`: when there is no room for one more, the connection is closed on which nothing
 * has been answered for longest. Throws a StartError that names `setting`, where the address is from, when it cannot.
 */
export async function listen(
  server: Server,
  { host, port }: HostPort,
  { setting, connections }: { readonly setting: string; readonly connections: Connections },
): Promise<HttpListener> {
  bound(server, connections);
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const why = error.code === "EADDRINUSE" ? "the port is in use" : String(error.code);
      const text = formatHostPort({ host, port });
      reject(new StartError(`cannot listen on ${setting} ${text}: ${why}`, { cause: error }));
    });
    server.listen(port, host, resolve);
  });
  // Without a listener an accept that fails, for want of descriptors, would end the process.
  server.on("error", () => {});
  return {
    address: { host, port: (server.address() as AddressInfo).port },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Closes the connection that a request came by, and reads no further request that has arrived with it. */
export function cut(socket: Socket): void {
  socket.destroy();
  // Not in its types, and only saves work: otherwise Node.js makes requests of all that it has read, thousands perhaps, which nobody will answer.
  const { parser } = socket as { readonly parser?: { onIncoming?: () => number } | null };
  if (parser?.onIncoming) parser.onIncoming = () => WITHOUT_BODY_AND_LAST;
}

/** What a parser is told of a request after which no other comes, such as an upgrade. */
const WITHOUT_BODY_AND_LAST = 2;

function bound(server: Server, connections: Connections): void {
  const known = new WeakMap<Socket, Connection>();
  server.prependListener("connection", (socket: Socket) => {
    const connection = connections.open(socket, () => socket.destroy());
    if (connection === undefined) {
      socket.destroy();
      return;
    }
    known.set(socket, connection);
    socket.once("close", () => connection.closed());
  });
  server.prependListener("request", ({ socket }, response) => {
    const end = known.get(socket)?.begin();
    if (end !== undefined) response.once("close", end);
  });
}
