import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { addressOf } from "../support/raw-http2.ts";

/**
 * Pipelines `count` requests for the metrics on one connection. Resolves with the received bytes, when the
 * service has closed the connection or has been silent for `silentMs`.
 */
export async function metricsAhead(address: string, { count = 1000, silentMs = 1000 } = {}): Promise<number> {
  const socket = connect(addressOf(address));
  let received = 0;
  let isClosed = false;
  socket.on("error", () => {});
  socket.once("close", () => {
    isClosed = true;
  });
  socket.on("data", (bytes: Buffer) => {
    received += bytes.length;
  });
  await once(socket, "connect");
  socket.write("GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n".repeat(count));
  let before = -1;
  while (!isClosed && received !== before) {
    before = received;
    await delay(silentMs);
  }
  socket.destroy();
  return received;
}
