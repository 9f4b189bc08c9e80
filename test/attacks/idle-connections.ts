import { type HeldConnections, holdConnections } from "../support/held-connections.ts";

/** Opens connections without sending a byte: each takes a file descriptor of the service. */
export function idleConnections(
  address: string,
  { count = 700, localAddress }: { count?: number; localAddress?: (index: number) => string } = {},
): Promise<HeldConnections> {
  return holdConnections(address, { count, localAddress });
}
