import type { Server } from "node:http";
import type { AddressInfo, Server as NetServer, Socket } from "node:net";
import { StartError } from "../errors.ts";
import type { Connection, Connections } from "./connections.ts";
import { formatHostPort, type HostPort } from "./host-port.ts";

export interface HttpListener {
  /** The address, with the actual port even if port 0 was requested. */
  readonly address: HostPort;
  /** Stops accepting connections, and closes those that are open. */
  close(): Promise<void>;
}

/**
 * Makes `server` listen. Returns the address, with the actual port even if port 0 was requested. Throws a StartError if the server cannot
 * listen; its message has the name of the `setting` from which the address was read.
 */
export async function listen(
  server: NetServer,
  { host, port }: HostPort,
  setting: string,
): Promise<HostPort> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const why = error.code === "EADDRINUSE" ? "the port is in use" : error.message;
      const text = formatHostPort({ host, port });
      reject(new StartError(`cannot listen on ${setting} ${text}: ${why}`, { cause: error }));
    });
    server.listen(port, host, resolve);
  });
  return { host, port: (server.address() as AddressInfo).port };
}

/**
 * Like {@link listen}, with the connections of `server` bounded by `connections`, which closes the connection that has been idle longest when
 * there is no room for a new one.
 */
export async function listenHttp(
  server: Server,
  requested: HostPort,
  { setting, connections }: { readonly setting: string; readonly connections: Connections },
): Promise<HttpListener> {
  boundConnections(server, connections);
  const address = await listen(server, requested, setting);
  // Without a listener, a failed accept, for lack of file descriptors for example, would end the process.
  server.on("error", () => {});
  return {
    address,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Destroys a connection, and discards data that has been read from it but not yet parsed. */
export function destroyUnread(socket: Socket): void {
  socket.destroy();
  // This only saves work: otherwise Node.js would go on to parse the data that it has read, possibly into thousands of requests, which would
  // never be answered. The parser is not in the types of Node.js.
  const { parser } = socket as { readonly parser?: { onIncoming?: () => number } | null };
  if (parser?.onIncoming) parser.onIncoming = () => SKIP_BODY_AND_STOP;
}

/** Makes the HTTP parser skip the request's body and stop after it, as after an upgrade. */
const SKIP_BODY_AND_STOP = 2;

/**
 * The path of an HTTP request target, for servers with fixed paths. Removes scheme and host, query, parameters (`;...`), repeated slashes and
 * a slash at the end, and decodes percent-encoded ASCII, since proxies add and change all of these. `..` has no special meaning, so that
 * no path leads above its prefix. "/" for an empty or absent target.
 */
export function pathOf(target = ""): string {
  const path = target.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, "");
  const decoded = path.replace(/%([2-7][0-9a-f])/gi, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  const [plain = ""] = decoded.split(/[?#;]/, 1);
  return `/${plain
    .split("/")
    .filter((segment) => segment !== "")
    .join("/")}`;
}

/** Admits each connection of the server to `connections`, and tells it which of them have requests in flight. */
function boundConnections(server: Server, connections: Connections): void {
  const open = new WeakMap<Socket, Connection>();
  server.prependListener("connection", (socket: Socket) => {
    const connection = connections.accept(socket);
    if (connection !== undefined) open.set(socket, connection);
  });
  server.prependListener("request", ({ socket }, response) => {
    const end = open.get(socket)?.beginCall();
    if (end !== undefined) response.once("close", end);
  });
}
