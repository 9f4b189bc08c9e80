import type { Socket } from "node:net";
import type { Connection } from "mysql2";

/**
 * Ends a connection at once. mysql2's own `destroy` only ends its side of the socket, and then waits for the server's: with one
 * that was cut off without a word it would wait for as long as the kernel does, hold a descriptor, and keep the process alive.
 */
export function cutConnection(connection: Connection): void {
  connection.destroy();
  // Not in its types; with TLS it is the outer socket, which takes the inner one along.
  (connection as Connection & { readonly stream: Socket }).stream.destroy();
}
