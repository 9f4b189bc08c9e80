import { type HeldConnections, holdConnections } from "../support/held-connections.ts";

/** The first bytes of a TLS ClientHello that announces 512 bytes, and none of those. */
const HALF_HELLO = Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01]);

/** Begins TLS again and again, and never ends it. */
export function halfHandshakes(address: string, { count = 700 } = {}): Promise<HeldConnections> {
  return holdConnections(address, { count, bytes: HALF_HELLO });
}
