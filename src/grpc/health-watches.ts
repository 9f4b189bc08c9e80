import { type ServerWritableStream, status } from "@grpc/grpc-js";
import type { HealthCheckResponse_ServingStatus as ServingStatus } from "../../gen/grpc/health/v1/health_pb.js";
import type { Clock } from "../clock.ts";
import { MAX_CONNECTION_HEALTH_WATCHES, MAX_HEALTH_WATCHES, STREAM_END_MS } from "../limits.ts";

type Call = ServerWritableStream<unknown, object>;

interface Setup {
  readonly clock: Clock;
  /** Who is known on the connection of `peer`: a name, empty where callers are not known; undefined for nobody. */
  readonly callerOf: (peer: string) => string | undefined;
  /** Ends the connection of a peer. */
  readonly cut: (peer: string) => void;
}

/**
 * The open streams of health's Watch, bounded in total and for each connection. When all are taken a newcomer gets the place of one on a
 * connection on which no caller is known, so that strangers cannot keep gateways from watching; where there is none, the place of one of the known
 * caller that has most, if the newcomer's has fewer.
 */
export class HealthWatches {
  readonly #setup: Setup;
  /** By their connections, each in the order in which they came. */
  readonly #byPeer = new Map<string, Set<HealthWatch>>();
  #size = 0;
  #isEnding = false;

  constructor(setup: Setup) {
    this.#setup = setup;
  }

  /** Until the last byte of each has gone. */
  get size(): number {
    return this.#size;
  }

  /** Sends what `status` returns, now and after each change. */
  open(call: Call, status: () => ServingStatus): void {
    const { clock, cut } = this.#setup;
    const peer = call.getPeer();
    const ofPeer = this.#byPeer.get(peer) ?? new Set();
    const refusal = this.#refusal(peer, ofPeer);
    const watch = new HealthWatch(call, status, {
      clock,
      cut: () => cut(peer),
      onClosed: () => {
        if (!ofPeer.delete(watch)) return;
        this.#size--;
        if (ofPeer.size === 0) this.#byPeer.delete(peer);
      },
    });
    if (refusal !== undefined) {
      watch.fail(refusal);
      return;
    }
    this.#byPeer.set(peer, ofPeer.add(watch));
    this.#size++;
    watch.tell();
  }

  /** Something has changed. */
  tell(): void {
    for (const watches of this.#byPeer.values()) for (const watch of watches) watch.tell();
  }

  end(): void {
    this.#isEnding = true;
    for (const watches of this.#byPeer.values()) for (const watch of watches) watch.finish();
  }

  #refusal(peer: string, ofPeer: ReadonlySet<HealthWatch>): string | undefined {
    if (this.#isEnding) return "this replica is shutting down";
    if (ofPeer.size >= MAX_CONNECTION_HEALTH_WATCHES) return "the connection has too many streams of Watch";
    if (this.#size < MAX_HEALTH_WATCHES || this.#evictStranger() || this.#evictKnown(peer)) return undefined;
    return "too many streams of Watch are open";
  }

  /** Ends the oldest stream of the unauthenticated connection that has most. */
  #evictStranger(): boolean {
    let most: Set<HealthWatch> | undefined;
    for (const [peer, watches] of this.#byPeer) {
      if (watches.size > (most?.size ?? 0) && this.#setup.callerOf(peer) === undefined) most = watches;
    }
    const [victim] = most ?? [];
    return this.#evict(victim);
  }

  /** Ends the newest stream of the known caller that has most, unless the caller at `newcomer` would then have more. */
  #evictKnown(newcomer: string): boolean {
    const own = this.#ownerOf(newcomer);
    if (own === undefined) return false;
    const byOwner = new Map<string, HealthWatch[]>();
    for (const [peer, watches] of this.#byPeer) {
      const owner = this.#ownerOf(peer);
      if (owner !== undefined) byOwner.set(owner, [...(byOwner.get(owner) ?? []), ...watches]);
    }
    let most: HealthWatch[] = [];
    for (const watches of byOwner.values()) if (watches.length > most.length) most = watches;
    if (most.length <= (byOwner.get(own)?.length ?? 0) + 1) return false;
    return this.#evict(most.at(-1));
  }

  /** Whose the streams of a connection are: its caller's, or its own where callers are not known. */
  #ownerOf(peer: string): string | undefined {
    const caller = this.#setup.callerOf(peer);
    return caller === "" ? `connection ${peer}` : caller;
  }

  #evict(victim: HealthWatch | undefined): boolean {
    victim?.fail("others need the place of this stream");
    victim?.release();
    return victim !== undefined;
  }
}

interface WatchSetup {
  readonly clock: Clock;
  readonly cut: () => void;
  readonly onClosed: () => void;
}

class HealthWatch {
  readonly #call: Call;
  readonly #status: () => ServingStatus;
  readonly #setup: WatchSetup;
  #sent: ServingStatus | undefined;
  #isSending = false;
  #hasEnded = false;
  #cancelCut = () => {};

  constructor(call: Call, status: () => ServingStatus, setup: WatchSetup) {
    this.#call = call;
    this.#status = status;
    this.#setup = setup;
    // Said of every stream at its very end, however it came.
    call.once("cancelled", () => {
      this.#hasEnded = true;
      this.#cancelCut();
      this.release();
    });
  }

  /** Sends the status if it is news. One message is under way at a time: a client that reads nothing is owed the latest alone. */
  tell(): void {
    const now = this.#status();
    if (this.#hasEnded || this.#isSending || now === this.#sent) return;
    this.#sent = now;
    this.#isSending = true;
    this.#call.write({ status: now }, () => {
      this.#isSending = false;
      this.tell();
    });
  }

  finish(): void {
    if (!this.#end()) return;
    this.#call.end();
  }

  fail(details: string): void {
    if (!this.#end()) return;
    this.#call.emit("error", { code: status.UNAVAILABLE, details });
  }

  /** Gives its place up. */
  release(): void {
    this.#setup.onClosed();
  }

  /** Claims the one end. A client that does not take it would keep the stream for as long as its connection. */
  #end(): boolean {
    if (this.#hasEnded) return false;
    this.#hasEnded = true;
    this.#cancelCut = this.#setup.clock.schedule(STREAM_END_MS, this.#setup.cut);
    return true;
  }
}
