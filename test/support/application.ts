import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";

/** What every response of an {@link Application} contains, and no response of a gateway. */
export const FROM_APPLICATION = "the application\n";

/** An application behind a gateway. It answers every request with 200, and `/orders/broken` with 500. */
export class Application {
  /** The requests that the gateway passed on. */
  readonly received: IncomingMessage[] = [];
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => {
      this.received.push(request);
      const status = request.url === "/orders/broken" ? 500 : 200;
      request.resume().once("end", () => response.writeHead(status).end(FROM_APPLICATION));
    });
  }

  static async start(): Promise<Application> {
    const application = new Application();
    await new Promise<void>((resolve) => application.#server.listen(0, "127.0.0.1", resolve));
    return application;
  }

  /** `host:port`. */
  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
