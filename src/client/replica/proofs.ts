import type { Clock } from "../../clock.ts";
import { type Instant, instantOf } from "../../instant.ts";
import { PROOF_TIMEOUT_MS } from "../../limits.ts";
import { ClientError } from "../client-error.ts";

interface Options {
  readonly clock: Clock;
  /** Sends a `sync` with this id. */
  readonly send: (id: bigint) => void;
  readonly onProven: (sentAt: Instant) => void;
  /** The service has said that there is no proof to be had, or has said nothing for too long. */
  readonly onFailed: (error: ClientError) => void;
}

/** All who ask while a `sync` is under way share the next one. */
interface Group {
  readonly promise: Promise<void>;
  resolve(): void;
  reject(error: ClientError): void;
}

interface Sent {
  readonly id: bigint;
  readonly sentAt: Instant;
  readonly group: Group;
}

/** Proofs that the copy is current: one round trip at a time, however many ask. */
export class Proofs {
  readonly #options: Options;
  #waiting: Group | undefined;
  #sent: Sent | undefined;
  #lastId = 0n;
  #isPlanned = false;
  #cancelTimeout = () => {};

  constructor(options: Options) {
    this.#options = options;
  }

  /**
   * Resolves when a `sync` that is sent later than now has been answered: the copy then has all that was acknowledged before. All
   * who share it are given the same promise. Rejects with a ClientError.
   */
  prove(): Promise<void> {
    if (this.#waiting === undefined) {
      this.#waiting = newGroup();
      this.#plan();
    }
    return this.#waiting.promise;
  }

  /** The service has answered every `sync` up to this one. */
  synced(id: bigint): void {
    const sent = this.#take(id);
    if (sent === undefined) return;
    this.#options.onProven(sent.sentAt);
    // Those who wait go first: the service works while the others are answered.
    if (this.#waiting !== undefined) this.#send();
    sent.group.resolve();
  }

  unsynced(id: bigint, error: ClientError): void {
    const sent = this.#take(id);
    if (sent === undefined) return;
    if (this.#waiting !== undefined) this.#send();
    sent.group.reject(error);
    this.#options.onFailed(error);
  }

  /** There is nobody to ask any more. */
  fail(error: ClientError): void {
    this.#cancelTimeout();
    const groups = [this.#sent?.group, this.#waiting];
    this.#sent = undefined;
    this.#waiting = undefined;
    for (const group of groups) group?.reject(error);
  }

  /** After all who ask in this turn have asked: what they do is done in microtasks. */
  #plan(): void {
    if (this.#sent !== undefined || this.#isPlanned) return;
    this.#isPlanned = true;
    setImmediate(() => {
      this.#isPlanned = false;
      if (this.#sent === undefined && this.#waiting !== undefined) this.#send();
    });
  }

  #send(): void {
    const { clock, send } = this.#options;
    const group = this.#waiting as Group;
    // Taken before it is sent: it proves nothing to those who come later.
    this.#waiting = undefined;
    const id = ++this.#lastId;
    this.#sent = { id, sentAt: instantOf(clock), group };
    // A process that was held up runs its timers first, and then reads what had arrived in time.
    this.#cancelTimeout = clock.schedule(PROOF_TIMEOUT_MS, () => setImmediate(() => this.unsynced(id, LATE)));
    send(id);
  }

  /** An answer to an earlier one is late: whoever waited for it has been told. */
  #take(id: bigint): Sent | undefined {
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
  // Perhaps nobody waits but the copy itself.
  promise.catch(() => {});
  return { promise, resolve, reject };
}
