import { once } from "node:events";
import { connect, type TLSSocket } from "node:tls";
import { addressOf } from "../support/raw-http2.ts";

/** Completes TLS handshakes and disconnects, each at the cost of a signature and a key exchange. Resolves with the number of handshakes. */
export async function handshakes(address: string, { count }: { count: number }): Promise<number> {
  let completed = 0;
  await Promise.all(
    Array.from({ length: count }, async () => {
      const socket = await handshake(address);
      if (socket !== undefined) completed++;
      socket?.destroy();
    }),
  );
  return completed;
}

/** Completes TLS 1.2 and requests renegotiations as often as the service permits. Resolves with the number of requests. */
export async function renegotiations(address: string, { count }: { count: number }): Promise<number> {
  const socket = await handshake(address, "TLSv1.2");
  if (socket === undefined) return 0;
  let asked = 0;
  while (asked < count && !socket.destroyed) {
    asked++;
    const answered = new Promise<boolean>((resolve) => {
      socket.renegotiate({}, (error) => resolve(error === null));
      socket.once("close", () => resolve(false));
      setTimeout(() => resolve(false), PATIENCE_MS).unref();
    });
    if (!(await answered)) break;
  }
  socket.destroy();
  return asked;
}

/** An ignored renegotiation has no response. */
const PATIENCE_MS = 500;

async function handshake(address: string, version?: "TLSv1.2"): Promise<TLSSocket | undefined> {
  const socket = connect({
    ...addressOf(address),
    ALPNProtocols: ["h2"],
    // An attacker does not verify the certificate.
    rejectUnauthorized: false,
    ...(version && { maxVersion: version }),
  });
  socket.on("error", () => {});
  const closed = new Promise<false>((resolve) => socket.once("close", () => resolve(false)));
  const secured = once(socket, "secureConnect").then(
    () => true,
    () => false,
  );
  return (await Promise.race([secured, closed])) ? socket : undefined;
}
