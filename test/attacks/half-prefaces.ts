import { type HeldConnections, holdConnections } from "../support/held-connections.ts";

/** Begins HTTP/2 connections, and stops before SETTINGS. */
export function halfPrefaces(address: string, { count = 700 } = {}): Promise<HeldConnections> {
  return holdConnections(address, { count, bytes: Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") });
}
