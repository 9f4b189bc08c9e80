import { once } from "node:events";
import { connect, type TLSSocket } from "node:tls";
import { addressOf } from "../support/raw-http2.ts";

/** Completes TLS, and leaves: each time a signature and a key exchange. Resolves with how many handshakes were completed. */
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

/** Completes TLS 1.2 and has it renegotiated as often as the service lets it. Resolves with how many renegotiations were asked for. */
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

/** A renegotiation that is passed over is never answered. */
const PATIENCE_MS = 500;

async function handshake(address: string, version?: "TLSv1.2"): Promise<TLSSocket | undefined> {
  const socket = connect({
    ...addressOf(address),
    ALPNProtocols: ["h2"],
    // Whom it talks to is of no interest to an attacker.
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
