import { type HeldConnections, holdConnections } from "../support/held-connections.ts";

/** Connects again and again, and never sends a byte: each takes a descriptor of the service's. */
export function idleConnections(
  address: string,
  { count = 700, localAddress }: { count?: number; localAddress?: (index: number) => string } = {},
): Promise<HeldConnections> {
  return holdConnections(address, { count, localAddress });
}
