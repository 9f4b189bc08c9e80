import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { StartError } from "./errors.ts";
import { formatHostPort, type HostPort } from "./host-port.ts";

export interface HttpListener {
  /** With the port that was given where 0 was asked for. */
  readonly address: HostPort;
  /** Takes no more connections, and cuts those that are open. */
  close(): Promise<void>;
}

/** Has `server` listen. Throws a StartError that names `setting`, where the address is from, when it cannot. */
export async function listen(
  server: Server,
  { host, port }: HostPort,
  { setting }: { readonly setting: string },
): Promise<HttpListener> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const why = error.code === "EADDRINUSE" ? "the port is in use" : String(error.code);
      const text = formatHostPort({ host, port });
      reject(new StartError(`cannot listen on ${setting} ${text}: ${why}`, { cause: error }));
    });
    server.listen(port, host, resolve);
  });
  return {
    address: { host, port: (server.address() as AddressInfo).port },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
