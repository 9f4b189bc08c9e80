import { type ServerWritableStream, status } from "@grpc/grpc-js";
import type { HealthCheckResponse_ServingStatus as ServingStatus } from "../../gen/grpc/health/v1/health_pb.js";
import type { Connections } from "../connections/connections.ts";
import { MAX_CONNECTION_HEALTH_WATCHES, MAX_HEALTH_WATCHES, STREAM_END_MS } from "../limits.ts";
import type { Clock } from "../time/clock.ts";

type Call = ServerWritableStream<unknown, object>;

export interface HealthWatchesSetup {
  readonly clock: Clock;
  readonly connections: Pick<Connections, "callerOf">;
  /** Destroys the connection of a peer. */
  readonly disconnect: (peer: string) => void;
}

/**
 * The open streams of health's Watch, bounded in total and per connection. When the total is reached, a new stream evicts a stream of an
 * unauthenticated connection, so that unauthenticated peers cannot keep gateways from watching. If there is no such stream, the new stream
 * evicts a stream of the known caller with the most streams, unless the new stream's caller would then have more streams than that caller.
 */
export class HealthWatches {
  readonly #setup: HealthWatchesSetup;
  /** The streams of each connection, in order of opening. */
  readonly #byPeer = new Map<string, Set<HealthWatch>>();
  #size = 0;
  #isEnding = false;

  constructor(setup: HealthWatchesSetup) {
    this.#setup = setup;
  }

  /** The number of streams, each counted until its last byte has been sent or it is evicted. */
  get size(): number {
    return this.#size;
  }

  /** Opens a stream that sends the result of `status` now and, at each {@link update}, if the result has changed. */
  open(call: Call, status: () => ServingStatus): void {
    const { clock, disconnect } = this.#setup;
    const peer = call.getPeer();
    const peerWatches = this.#byPeer.get(peer) ?? new Set();
    const refusal = this.#refusal(peer, peerWatches);
    const watch = new HealthWatch(call, status, {
      clock,
      disconnect: () => disconnect(peer),
      onReleased: () => {
        if (!peerWatches.delete(watch)) return;
        this.#size--;
        if (peerWatches.size === 0) this.#byPeer.delete(peer);
      },
    });
    if (refusal !== undefined) {
      watch.end(refusal);
      return;
    }
    this.#byPeer.set(peer, peerWatches.add(watch));
    this.#size++;
    watch.update();
  }

  /** Sends changed statuses on all streams. */
  update(): void {
    for (const watches of this.#byPeer.values()) for (const watch of watches) watch.update();
  }

  /** Ends all streams, and refuses new ones. */
  end(): void {
    this.#isEnding = true;
    for (const watches of this.#byPeer.values()) for (const watch of watches) watch.end();
  }

  /** Why the connection may not open another stream; undefined if it is allowed. Evicts another stream if necessary. */
  #refusal(peer: string, peerWatches: ReadonlySet<HealthWatch>): string | undefined {
    if (this.#isEnding) return "this replica is shutting down";
    if (peerWatches.size >= MAX_CONNECTION_HEALTH_WATCHES)
      return "the connection has too many streams of Watch";
    if (this.#size < MAX_HEALTH_WATCHES || this.#evictUnauthenticated() || this.#evictAuthenticated(peer))
      return undefined;
    return "too many streams of Watch are open";
  }

  /** Ends the oldest stream of the unauthenticated connection with the most streams. False if there is no such stream. */
  #evictUnauthenticated(): boolean {
    let largest: Set<HealthWatch> | undefined;
    for (const [peer, watches] of this.#byPeer) {
      if (watches.size > (largest?.size ?? 0) && this.#setup.connections.callerOf(peer) === undefined)
        largest = watches;
    }
    const [victim] = largest ?? [];
    return this.#evict(victim);
  }

  /**
   * Ends the newest stream of the known caller with the most streams, unless the caller of the connection `newcomer` would then have more
   * streams than that caller. False if no stream was ended.
   */
  #evictAuthenticated(newcomer: string): boolean {
    const own = this.#ownerOf(newcomer);
    if (own === undefined) return false;
    const byOwner = new Map<string, HealthWatch[]>();
    for (const [peer, watches] of this.#byPeer) {
      const owner = this.#ownerOf(peer);
      if (owner !== undefined) byOwner.set(owner, [...(byOwner.get(owner) ?? []), ...watches]);
    }
    let largest: HealthWatch[] = [];
    for (const watches of byOwner.values()) if (watches.length > largest.length) largest = watches;
    if (largest.length <= (byOwner.get(own)?.length ?? 0) + 1) return false;
    return this.#evict(largest.at(-1));
  }

  /** The owner of a connection's streams: its caller or, with authentication off, the connection itself; undefined if unauthenticated. */
  #ownerOf(peer: string): string | undefined {
    const caller = this.#setup.connections.callerOf(peer);
    return caller === "" ? `connection ${peer}` : caller;
  }

  #evict(victim: HealthWatch | undefined): boolean {
    victim?.end("another client needs the place of this stream");
    victim?.release();
    return victim !== undefined;
  }
}

interface WatchSetup {
  readonly clock: Clock;
  readonly disconnect: () => void;
  /** May be called twice. */
  readonly onReleased: () => void;
}

class HealthWatch {
  readonly #call: Call;
  readonly #status: () => ServingStatus;
  readonly #setup: WatchSetup;
  #lastSent: ServingStatus | undefined;
  #isSending = false;
  #hasEnded = false;
  #cancelDisconnect = () => {};

  constructor(call: Call, status: () => ServingStatus, setup: WatchSetup) {
    this.#call = call;
    this.#status = status;
    this.#setup = setup;
    // grpc-js emits this at the end of every stream, however it ended.
    call.once("cancelled", () => {
      this.#hasEnded = true;
      this.#cancelDisconnect();
      this.release();
    });
  }

  /**
   * Sends the status if it has changed. One message is in flight at a time, so a client that falls behind gets only the latest status.
   */
  update(): void {
    const now = this.#status();
    if (this.#hasEnded || this.#isSending || now === this.#lastSent) return;
    this.#lastSent = now;
    this.#isSending = true;
    this.#call.write({ status: now }, () => {
      this.#isSending = false;
      this.update();
    });
  }

  /**
   * Ends the stream, with UNAVAILABLE if `problem` is given. A client that does not read the end would keep the stream open as long as its
   * connection, so the connection is destroyed after a delay.
   */
  end(problem?: string): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#cancelDisconnect = this.#setup.clock.schedule(STREAM_END_MS, this.#setup.disconnect);
    if (problem === undefined) this.#call.end();
    else this.#call.emit("error", { code: status.UNAVAILABLE, details: problem });
  }

  /** Stops counting the stream. */
  release(): void {
    this.#setup.onReleased();
  }
}
