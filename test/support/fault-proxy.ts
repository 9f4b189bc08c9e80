import { once } from "node:events";
import { createServer, type Server, type Socket, connect as tcpConnect } from "node:net";
import { cutLink, type Direction, link } from "./fault-link.ts";
import { freePort } from "./free-port.ts";

type Fault = "none" | "blackhole" | "hold" | "reset";

/** A TCP proxy on loopback that misbehaves on request: toward connections open and new, until heal(). */
export class FaultProxy {
  /** Sees each chunk before it is passed on. False cuts the connection and the chunk never arrives; bytes are passed on in its place. */
  onClientData: ((chunk: Buffer) => boolean | Buffer) | undefined;
  onServerData: ((chunk: Buffer) => boolean | Buffer) | undefined;
  /** Added to every chunk, in each direction. */
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

  /** The same through every fault. */
  get port(): number {
    return this.#port;
  }

  get openConnections(): number {
    return this.#links.size;
  }

  /** New connections lead to this port from now on. */
  aim(port: number): void {
    this.#target = { ...this.#target, port };
  }

  /** The same URL, by way of the proxy. */
  through(url: string): string {
    return Object.assign(new URL(url), { host: `127.0.0.1:${this.#port}` }).href;
  }

  /** Bytes are read and lost. A connection that lost some stays silent after heal(), as half-open ones do. */
  blackhole(direction: Direction | "both" = "both"): void {
    this.#set("blackhole", direction);
  }

  /** Bytes wait, and arrive after heal(): a network that was down for a while. */
  hold(direction: Direction | "both" = "both"): void {
    this.#set("hold", direction);
    let release = () => {};
    const promise = new Promise<void>((resolve) => {
      release = resolve;
    });
    this.#held = { promise, release };
  }

  /** Open connections see an RST, and so does every new one. */
  reset(): void {
    this.#set("reset", "both");
    this.cut();
  }

  /** Nobody listens: new connections are refused, open ones live on. */
  refuse(): void {
    this.#server?.close();
    this.#server = undefined;
  }

  /** Open connections see an RST; new ones are welcome. */
  cut(): void {
    for (const [client, server] of this.#links) cutLink(client, server);
  }

  /** Lets exactly that many more bytes pass in one direction and cuts the connection that carried the last one. */
  cutAfter(when: { direction: Direction; bytes: number }): void {
    this.#cutAfter = { ...when };
  }

  /** Takes back every fault, hook and latency. */
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
