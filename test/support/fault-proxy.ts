import { once } from "node:events";
import { createServer, type Server, type Socket, connect as tcpConnect } from "node:net";
import { cutLink, type Direction, link } from "./fault-link.ts";
import { freePort } from "./free-port.ts";

type Fault = "none" | "blackhole" | "hold" | "reset";

/** A TCP proxy on loopback that injects faults into open and new connections until heal(). */
export class FaultProxy {
  /** Called with each chunk before it is passed on. False drops the chunk and cuts the connection; returned bytes replace the chunk. */
  onClientData: ((chunk: Buffer) => boolean | Buffer) | undefined;
  onServerData: ((chunk: Buffer) => boolean | Buffer) | undefined;
  /** The latency of every chunk, by direction. */
  latencyMs = 0;
  readonly counts = { accepted: 0, bytesToServer: 0, bytesToClient: 0 };

  #target: { readonly host: string; readonly port: number };
  readonly #links = new Map<Socket, Socket>();
  #server: Server | undefined;
  #port = 0;
  #fault: Fault = "none";
  #direction: Direction | "both" = "both";
  #cutAfter: { direction: Direction; bytes: number } | undefined;
  #held: { promise: Promise<void>; release: () => void } | undefined;

  private constructor(target: { host: string; port: number }) {
    this.#target = target;
  }

  static async start(target: { host?: string; port: number }): Promise<FaultProxy> {
    const proxy = new FaultProxy({ host: target.host ?? "127.0.0.1", port: target.port });
    proxy.#port = await freePort();
    await proxy.#listen();
    return proxy;
  }

  /** Constant across faults. */
  get port(): number {
    return this.#port;
  }

  get openConnections(): number {
    return this.#links.size;
  }

  /** Redirects new connections to this port. */
  aim(port: number): void {
    this.#target = { ...this.#target, port };
  }

  /** The same URL through the proxy. */
  through(url: string): string {
    return Object.assign(new URL(url), { host: `127.0.0.1:${this.#port}` }).href;
  }

  /** Reads and drops bytes. A connection that lost some stays silent after heal(), as half-open ones do. */
  blackhole(direction: Direction | "both" = "both"): void {
    this.#set("blackhole", direction);
  }

  /** Holds bytes until heal(), as a network that was down for a while does. */
  hold(direction: Direction | "both" = "both"): void {
    this.#set("hold", direction);
    let release = () => {};
    const promise = new Promise<void>((resolve) => {
      release = resolve;
    });
    this.#held = { promise, release };
  }

  /** Resets open and new connections. */
  reset(): void {
    this.#set("reset", "both");
    this.cut();
  }

  /** Stops listening: new connections are refused, open ones continue. */
  refuse(): void {
    this.#server?.close();
    this.#server = undefined;
  }

  /** Resets open connections, and accepts new ones. */
  cut(): void {
    for (const [client, server] of this.#links) cutLink(client, server);
  }

  /** Passes exactly that many more bytes in one direction, then cuts the connection that carried the last one. */
  cutAfter(when: { direction: Direction; bytes: number }): void {
    this.#cutAfter = { ...when };
  }

  /** Removes every fault, hook and latency. */
  async heal(): Promise<void> {
    this.#set("none", "both");
    this.#cutAfter = undefined;
    this.latencyMs = 0;
    this.onClientData = undefined;
    this.onServerData = undefined;
    if (this.#server === undefined) await this.#listen();
  }

  async close(): Promise<void> {
    this.refuse();
    this.#set("none", "both");
    const open = [...this.#links].flat().filter((socket) => !socket.closed);
    const closed = open.map(
      (socket) => new Promise<void>((resolve) => socket.once("close", () => resolve())),
    );
    for (const socket of open) socket.destroy();
    await Promise.all(closed);
  }

  #set(fault: Fault, direction: Direction | "both"): void {
    this.#fault = fault;
    this.#direction = direction;
    this.#held?.release();
    this.#held = undefined;
  }

  #has(fault: Fault, direction: Direction): boolean {
    return this.#fault === fault && (this.#direction === "both" || this.#direction === direction);
  }

  async #listen(): Promise<void> {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => this.#accept(client));
    this.#server = server;
    server.listen(this.#port, "127.0.0.1");
    await once(server, "listening");
  }

  #accept(client: Socket): void {
    this.counts.accepted += 1;
    client.on("error", () => {});
    if (this.#fault === "reset") return void client.resetAndDestroy();
    const server = tcpConnect({ ...this.#target, allowHalfOpen: true, noDelay: true });
    this.#links.set(client, server);
    const forget = () => client.closed && server.closed && this.#links.delete(client);
    client.once("close", forget);
    server.once("close", forget);
    link(client, server, {
      latencyMs: () => this.latencyMs,
      swallows: (direction) => this.#has("blackhole", direction),
      released: async (direction) => (this.#has("hold", direction) ? this.#held?.promise : undefined),
      admit: (direction, chunk) => this.#admit(direction, chunk),
    });
  }

  #admit(direction: Direction, chunk: Buffer): { pass: Buffer; cut: boolean } {
    const hook = direction === "toServer" ? this.onClientData : this.onServerData;
    const verdict = hook?.(chunk) ?? true;
    if (verdict === false) return { pass: chunk.subarray(0, 0), cut: true };
    let pass = verdict === true ? chunk : verdict;
    const limit = this.#cutAfter?.direction === direction ? this.#cutAfter : undefined;
    if (limit !== undefined) {
      pass = pass.subarray(0, limit.bytes);
      limit.bytes -= pass.length;
    }
    this.counts[direction === "toServer" ? "bytesToServer" : "bytesToClient"] += pass.length;
    const cut = limit?.bytes === 0;
    if (cut) this.#cutAfter = undefined;
    return { pass, cut };
  }
}
