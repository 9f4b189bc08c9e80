import type { Socket } from "node:net";
import type { Connection } from "mysql2";

/**
 * Destroys a connection at once. mysql2's `destroy` only ends its own side of the socket and then waits for the server's side: with
 * a server that has become unreachable without a TCP close, it would wait for the kernel's timeout, hold a descriptor and keep the
 * process alive.
 */
export function destroyConnection(connection: Connection): void {
  connection.destroy();
  // `stream` is missing from mysql2's types. With TLS it is the outer socket, whose destruction destroys the inner one.
  (connection as Connection & { readonly stream: Socket }).stream.destroy();
}
