import { createServer } from "node:net";

// Below the range from which Linux takes the ports of outgoing connections (32768 and up), so that no client
// sits on a server's port while the server is being restarted.
const LOWEST = 15_000;
const HIGHEST = 32_000;

/** A loopback port on which no process listens. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = LOWEST + Math.floor(Math.random() * (HIGHEST - LOWEST));
    if (await canListen(port)) return port;
  }
}

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
