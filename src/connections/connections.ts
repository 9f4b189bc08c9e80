import { isIPv6, type Socket } from "node:net";
import type { Logger } from "pino";
import { MAX_UNAUTHENTICATED_CALLS } from "../limits.ts";
import type { Clock } from "../time/clock.ts";
import type { ConnectionLimits } from "./listener-shares.ts";

/** Interval at which a listener logs that it closes connections. The metric counts all of them. */
const CONNECTION_LOG_INTERVAL_MS = 10_000;

/**
 * Why the service closed a connection: evicted for a new connection or because there were too many unauthenticated calls, refused for lack of
 * room, HTTP/2 not set up in time, unauthenticated and idle for too long, or too much useless data.
 */
export const CLOSE_REASONS = ["evicted", "refused", "not-ready", "unused", "flooding"] as const;
export type CloseReason = (typeof CLOSE_REASONS)[number];

interface Peer {
  readonly remoteAddress?: string | undefined;
  readonly remotePort?: number | undefined;
}

interface Setup {
  readonly limits: ConnectionLimits;
  /** The name of the setting with the listener's address, for log lines. */
  readonly listener: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * The open connections of one listener, bounded in total, per remote address, and while unauthenticated. When a new connection finds a bound
 * reached, an unauthenticated connection is evicted: the one that has been idle longest or, if none is idle, the one that has been busy
 * longest. When there are too many unauthenticated calls, the connection with most of them is evicted. Connections of known callers are never
 * evicted.
 */
export class Connections {
  readonly #setup: Setup;
  readonly #all = new Pool();
  readonly #byAddress = new Map<string, Pool>();
  readonly #byPeer = new Map<string, Connection>();
  /** Number of connections closed by the service, by reason. */
  readonly closed = Object.fromEntries(CLOSE_REASONS.map((reason) => [reason, 0])) as Record<
    CloseReason,
    number
  >;
  /** The weight of the calls in flight on all unauthenticated connections. */
  #unauthenticatedCalls = 0;
  #loggedAt = Number.NEGATIVE_INFINITY;
  #closedSinceLog = 0;

  constructor(setup: Setup) {
    this.#setup = setup;
  }

  get size(): number {
    return this.#all.size;
  }

  /** Number of connections without an authenticated caller. */
  get unauthenticated(): number {
    return this.#all.unauthenticated;
  }

  get limits(): ConnectionLimits {
    return this.#setup.limits;
  }

  /**
   * Admits a connection of `peer`, evicting another connection if necessary. Returns undefined if there is no room: the code that called `open`
   * must then close the connection. `close` must close the connection. It is called if the connection is evicted, floods or exceeds a time
   * limit; but if it is idle too long and has a `closeGracefully` (see {@link Connection.ready}), only that is called.
   */
  open(peer: Peer, close: (reason: CloseReason) => void): Connection | undefined {
    const { limits, clock } = this.#setup;
    const name = peerName(peer);
    const prefix = addressPrefix(peer.remoteAddress ?? "");
    const sameAddress = this.#byAddress.get(prefix) ?? new Pool();
    if (!this.#makeRoom(sameAddress)) {
      this.#countClosed("refused", prefix);
      return undefined;
    }
    const connection = new Connection({
      clock,
      limits,
      pools: [this.#all, sameAddress],
      close: (reason, closeGracefully) => {
        this.#countClosed(reason, prefix);
        if (reason === "unused" && closeGracefully !== undefined) closeGracefully();
        else close(reason);
      },
      onCallCountChange: (change) => {
        this.#unauthenticatedCalls += change;
        if (this.#unauthenticatedCalls > MAX_UNAUTHENTICATED_CALLS) this.#all.evictBusiest();
      },
      onClosed: () => {
        if (this.#byPeer.get(name) === connection) this.#byPeer.delete(name);
        if (sameAddress.size === 0) this.#byAddress.delete(prefix);
      },
    });
    this.#byAddress.set(prefix, sameAddress);
    this.#byPeer.set(name, connection);
    return connection;
  }

  /** Like {@link open}, for a connection that is closed by destroying `socket`. This also destroys it if there is no room. */
  accept(socket: Socket): Connection | undefined {
    const connection = this.open(socket, () => socket.destroy());
    if (connection === undefined) socket.destroy();
    else socket.once("close", () => connection.closed());
    return connection;
  }

  /** The connection whose {@link peerName} is `peer`. */
  find(peer: string): Connection | undefined {
    return this.#byPeer.get(peer);
  }

  /** The name of the first caller authenticated on the connection of `peer`; empty with authentication off; undefined if there is none. */
  callerOf(peer: string): string | undefined {
    const connection = this.find(peer);
    return connection?.isAuthenticated ? connection.caller : undefined;
  }

  /** Records the caller of an authenticated `call`. `peer` is not read unless an open connection is unauthenticated. */
  authenticated(call: { readonly peer: string }, caller: string): void {
    if (this.#all.unauthenticated > 0) this.#byPeer.get(call.peer)?.authenticated(caller);
  }

  #makeRoom(sameAddress: Pool): boolean {
    const { total, perAddress, unauthenticated } = this.#setup.limits;
    if (sameAddress.size >= perAddress && !sameAddress.evict()) return false;
    if (this.#all.size >= total || this.#all.unauthenticated >= unauthenticated) return this.#all.evict();
    return true;
  }

  /** Counts a closed connection. Logs at most one line per interval, since peers can cause any number of closes. */
  #countClosed(reason: CloseReason, address: string): void {
    this.closed[reason]++;
    if (reason === "unused") return;
    const { clock, listener, log } = this.#setup;
    this.#closedSinceLog++;
    if (clock.monotonic() - this.#loggedAt < CONNECTION_LOG_INTERVAL_MS) return;
    const fields = { listener, reason, address, open: this.size, closed: this.#closedSinceLog };
    log.warn(fields, "closed unauthenticated connections, or refused connections for lack of room");
    this.#loggedAt = clock.monotonic();
    this.#closedSinceLog = 0;
  }
}

interface ConnectionSetup {
  readonly limits: ConnectionLimits;
  readonly clock: Clock;
  readonly pools: readonly Pool[];
  readonly close: (reason: CloseReason, closeGracefully: (() => void) | undefined) => void;
  readonly onClosed: () => void;
  /** The connection's part of the weight of unauthenticated calls has changed by `change`. */
  readonly onCallCountChange: (change: number) => void;
}

/** One connection, from accept to close. It is unauthenticated until a caller has been authenticated on it. */
export class Connection {
  readonly #setup: ConnectionSetup;
  #isOpen = true;
  isAuthenticated = false;
  /** The name of the first caller that was authenticated on the connection; empty before that, and with authentication off. */
  caller = "";
  #isReady = false;
  /** The sum of the weights of the calls in flight. */
  callsWeight = 0;
  /** Called when a caller has been authenticated. */
  onAuthenticated = () => {};
  #cancelTimer = () => {};
  #closeGracefully: (() => void) | undefined;

  constructor(setup: ConnectionSetup) {
    this.#setup = setup;
    for (const pool of setup.pools) pool.add(this);
    this.#closeAfter(setup.limits.readyMs, "not-ready");
  }

  /**
   * Records that the peer can make its first call. `closeGracefully` closes the connection when it has been idle too long. Without it, an idle
   * connection is closed as for any other reason.
   */
  ready({ closeGracefully }: { readonly closeGracefully?: () => void } = {}): void {
    if (this.#isReady) return;
    this.#isReady = true;
    this.#closeGracefully = closeGracefully;
    this.#startIdleTimer();
  }

  /** Records that `caller` was authenticated on the connection, which is then no longer subject to eviction or time limits. */
  authenticated(caller = ""): void {
    if (this.isAuthenticated || !this.#isOpen) return;
    this.isAuthenticated = true;
    this.caller = caller;
    this.#cancelTimer();
    this.#setup.onCallCountChange(-this.callsWeight);
    for (const pool of this.#setup.pools) pool.removeUnauthenticated(this);
    this.onAuthenticated();
  }

  /** Records the begin of a call, which counts as `weight` calls. Call the returned function when the call has ended. */
  beginCall(weight = 1): () => void {
    if (this.callsWeight === 0) this.#move("busy");
    this.callsWeight += weight;
    this.#countCalls(weight);
    let ended = false;
    return () => {
      if (ended) return;
      ended = true;
      this.#countCalls(-weight);
      this.callsWeight -= weight;
      if (this.callsWeight === 0) this.#move("idle");
    };
  }

  /** Closes the connection, for a new connection or because there are too many unauthenticated calls. */
  evict(): void {
    this.#close("evicted");
  }

  /** Closes the connection of a peer that sends useless data in quantity. */
  closeAsFlooding(): void {
    this.#close("flooding");
  }

  /** Records that the connection has been closed by either side. */
  closed(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#cancelTimer();
    if (!this.isAuthenticated) this.#setup.onCallCountChange(-this.callsWeight);
    for (const pool of this.#setup.pools) pool.remove(this);
    this.#setup.onClosed();
  }

  #close(reason: CloseReason): void {
    if (!this.#isOpen) return;
    this.closed();
    this.#setup.close(reason, this.#closeGracefully);
  }

  #countCalls(change: number): void {
    if (this.#isOpen && !this.isAuthenticated) this.#setup.onCallCountChange(change);
  }

  #move(to: "busy" | "idle"): void {
    if (this.isAuthenticated || !this.#isOpen) return;
    for (const pool of this.#setup.pools) pool.move(this, to);
    if (to === "busy") this.#cancelTimer();
    else this.#startIdleTimer();
  }

  #startIdleTimer(): void {
    if (this.isAuthenticated || !this.#isOpen || this.callsWeight > 0) return;
    this.#closeAfter(this.#setup.limits.unusedMs, "unused");
  }

  #closeAfter(delayMs: number, reason: CloseReason): void {
    this.#cancelTimer();
    if (delayMs === Number.POSITIVE_INFINITY) return;
    this.#cancelTimer = this.#setup.clock.schedule(delayMs, () => this.#close(reason));
  }
}

/** Connections that share a bound. */
class Pool {
  /** Number of connections, authenticated or not. */
  size = 0;
  /** The unauthenticated connections without and with calls in flight, each set in the order in which they entered it. */
  readonly #idle = new Set<Connection>();
  readonly #busy = new Set<Connection>();

  get unauthenticated(): number {
    return this.#idle.size + this.#busy.size;
  }

  add(connection: Connection): void {
    this.size++;
    this.#idle.add(connection);
  }

  move(connection: Connection, to: "busy" | "idle"): void {
    this.removeUnauthenticated(connection);
    (to === "busy" ? this.#busy : this.#idle).add(connection);
  }

  /** Removes a connection from the sets of unauthenticated connections. */
  removeUnauthenticated(connection: Connection): void {
    this.#idle.delete(connection);
    this.#busy.delete(connection);
  }

  remove(connection: Connection): void {
    this.size--;
    this.removeUnauthenticated(connection);
  }

  /**
   * Evicts an unauthenticated connection, one without calls if possible, since the calls may be health probes, which need no credential.
   * False if there is no unauthenticated connection.
   */
  evict(): boolean {
    const [victim] = this.#idle.size > 0 ? this.#idle : this.#busy;
    victim?.evict();
    return victim !== undefined;
  }

  /** Evicts the unauthenticated connection whose calls in flight weigh most. */
  evictBusiest(): void {
    let busiest: Connection | undefined;
    for (const connection of this.#busy)
      if (connection.callsWeight > (busiest?.callsWeight ?? 0)) busiest = connection;
    busiest?.evict();
  }
}

/** The name of a connection's peer, `address:port` without brackets, which is also its name in grpc-js. */
export function peerName({ remoteAddress, remotePort }: Peer): string {
  return `${remoteAddress}:${remotePort}`;
}

/** The unit of the limit per address, which one party is assumed to control: an IPv4 address, or the first 64 bits of an IPv6 address. */
export function addressPrefix(address: string): string {
  const [plain = ""] = address.toLowerCase().split("%");
  const [, mapped] = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(plain) ?? [];
  if (mapped !== undefined) return mapped;
  if (!isIPv6(plain)) return plain;
  // The double colon stands for as many groups of zeros as are missing from eight.
  const [head = "", tail] = plain.split("::");
  const before = head === "" ? [] : head.split(":");
  const after = tail === undefined || tail === "" ? [] : tail.split(":");
  // An IPv4 address at the end stands for two groups.
  const groupsPresent = before.length + after.length + (plain.includes(".") ? 1 : 0);
  const groups = tail === undefined ? before : [...before, ...Array(8 - groupsPresent).fill("0"), ...after];
  return `${groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(":")}::/64`;
}
