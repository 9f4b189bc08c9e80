import { SharedRounds } from "../../shared-rounds.ts";
import { type Clock, type ClockReading, readClocks } from "../../time/clock.ts";
import { ClientError } from "../client-error.ts";

/** Timeout of a copy's proof. The service times out its own read earlier and reports that. */
export const PROOF_TIMEOUT_MS = 2000;

interface Options {
  readonly clock: Clock;
  /** Sends a `sync` with this id. */
  readonly send: (id: bigint) => void;
  /** Called when the copy is proven current as of `sentAt`. */
  readonly onProven: (sentAt: ClockReading) => void;
  /** Called when the service reports that it cannot prove the copy current, or does not answer in time. */
  readonly onFailed: (error: ClientError) => void;
}

/** The promise of all requests that share one `sync`, because they were made while the previous `sync` was in flight. */
interface Group {
  readonly promise: Promise<void>;
  resolve(): void;
  reject(error: ClientError): void;
}

interface Sent {
  readonly id: bigint;
  readonly sentAt: ClockReading;
  readonly group: Group;
}

/** Proofs that the copy is current: one round trip in flight at a time, however many requests there are. */
export class SyncRounds {
  readonly #options: Options;
  #waiting: Group | undefined;
  #sent: Sent | undefined;
  #lastId = 0n;
  #cancelTimeout = () => {};
  /** A `sync` is sent after a turn of the event loop, so that all requests of the turn share it, also those made in microtasks. */
  readonly #syncs = new SharedRounds<Group>({
    take: () => this.#takeWaiting(),
    send: (group) => this.#send(group),
    maxTurns: 1,
  });

  constructor(options: Options) {
    this.#options = options;
  }

  /**
   * Resolves when a `sync` sent after this call has been answered: the copy then has everything acknowledged before the call. All
   * requests that share the `sync` get the same promise. Rejects with a ClientError.
   */
  prove(): Promise<void> {
    if (this.#waiting !== undefined) return this.#waiting.promise;
    const group = newGroup();
    this.#waiting = group;
    this.#syncs.requested();
    return group.promise;
  }

  /** Called when the service has answered every `sync` up to this one. */
  onSynced(id: bigint): void {
    const sent = this.#takeSent(id);
    if (sent === undefined) return;
    this.#options.onProven(sent.sentAt);
    // Sends the next `sync` first, so that the service works while this group is resolved.
    this.#syncs.ended();
    sent.group.resolve();
  }

  /** Called when the service cannot prove the copy current as of this `sync`. */
  onUnsynced(id: bigint, error: ClientError): void {
    const sent = this.#takeSent(id);
    if (sent === undefined) return;
    this.#syncs.ended();
    sent.group.reject(error);
    this.#options.onFailed(error);
  }

  /** Fails all requests, because there is no stream. */
  fail(error: ClientError): void {
    this.#cancelTimeout();
    const groups = [this.#sent?.group, this.#takeWaiting()];
    this.#sent = undefined;
    if (this.#syncs.isBusy) this.#syncs.ended();
    for (const group of groups) group?.reject(error);
  }

  #takeWaiting(): Group | undefined {
    const group = this.#waiting;
    this.#waiting = undefined;
    return group;
  }

  #send(group: Group): void {
    const { clock, send } = this.#options;
    const id = ++this.#lastId;
    this.#sent = { id, sentAt: readClocks(clock), group };
    // A process that was blocked runs its timers before it reads answers that arrived in time. `setImmediate` runs after that read.
    this.#cancelTimeout = clock.schedule(PROOF_TIMEOUT_MS, () =>
      setImmediate(() => this.onUnsynced(id, LATE)),
    );
    send(id);
  }

  /** Ignores answers to earlier ids: their requests have failed already. */
  #takeSent(id: bigint): Sent | undefined {
    const sent = this.#sent;
    if (sent === undefined || id < sent.id) return undefined;
    this.#cancelTimeout();
    this.#sent = undefined;
    return sent;
  }
}

const LATE = new ClientError("UNAVAILABLE", "the service has not proven the copy current in time");

function newGroup(): Group {
  let resolve = () => {};
  let reject = (_: ClientError) => {};
  const promise = new Promise<void>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  // The copy itself requests proofs without waiting for them.
  promise.catch(() => {});
  return { promise, resolve, reject };
}
