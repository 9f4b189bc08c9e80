import type { KnownCaller } from "../caller.ts";
import type { EpochMs } from "../entry.ts";
import { invalidRequest, type Reason, ServiceError } from "../errors.ts";
import { MAX_ENTRIES_PER_MESSAGE } from "../limits.ts";
import type { Revision } from "../revision.ts";
import { SharedRounds } from "../shared-rounds.ts";
import { ColumnsBuilder, type EntryColumns, inParts } from "../token-index/columns.ts";
import { END_OF_PLACES } from "../token-index/token-index.ts";
import type { Change, ChangeLog } from "./change-log.ts";
import type { Follower } from "./follower.ts";
import type { Observer } from "./observer.ts";
import { NO_INDEX } from "./unavailability.ts";

/** The cost of sending a proof, in microseconds. */
const PROOF_MICROS = 50;

/** A message to a client's copy of the blacklist. */
export type Delivery =
  /** Begins a transfer: a snapshot of about `count` entries, or changes, with a `count` of 0. */
  | {
      readonly kind: "opened";
      readonly isSnapshot: boolean;
      readonly fingerprintKey: Buffer;
      readonly count: number;
    }
  /** A part of a snapshot, made for this copy only. The last part has the revision that the snapshot reflects. */
  | { readonly kind: "part"; readonly entries: EntryColumns; readonly revision: Revision | undefined }
  /** One change, or several merged; the same object for all copies at the same position. */
  | { readonly kind: "change"; readonly change: Change }
  /** The responses to a `sync`: proof that the copy is current as of that revision, or why there is none. */
  | { readonly kind: "synced"; readonly id: bigint; readonly revision: Revision }
  | { readonly kind: "unsynced"; readonly id: bigint; readonly reason: Reason };

/** What all subscriptions share: the watch hub. */
export interface SubscriptionHost {
  /** Throws UNAUTHENTICATED when the caller's own token is blacklisted, as far as the index knows. */
  rejectIfRevoked(caller: KnownCaller): void;
  /** The current time by the slower of this service's clock and the database's. */
  now(): EpochMs;
  /** How long after its expiry an entry stays effective. */
  readonly leewayMs: number;
  /** Whether it is this subscription's turn to be sent a snapshot, which lasts until {@link endSnapshot}; queues it if not. */
  hasSnapshotTurn(subscription: Subscription): boolean;
  endSnapshot(subscription: Subscription): void;
  /** Forgets a subscription that has been closed. */
  leave(subscription: Subscription): void;
  readonly observer: Observer | undefined;
}

interface Options {
  readonly host: SubscriptionHost;
  readonly follower: Follower;
  readonly changeLog: ChangeLog;
  readonly caller: KnownCaller;
  /** The number of the first change to send; undefined: begin with a snapshot. */
  readonly firstChange: number | undefined;
}

/** A snapshot in progress. */
interface Snapshot {
  /** Everything up to this revision was in the index when the first part was sent. */
  revision: Revision;
  /** Where in the index to continue, see {@link EntryIndex.visit}; 0: the snapshot has not begun. */
  place: number;
  /** Parts of the last visited place that have not been sent yet. */
  unsent: EntryColumns[];
  /** Collects the entries of a place. Grows to the size of the largest place; freed when the snapshot has been sent. */
  readonly builder: ColumnsBuilder;
}

/**
 * A pull-based outbox for one copy: one log position, no queue. The stream asks for the next message when it can send one. A copy
 * that falls behind the log gets a new snapshot.
 */
export class Subscription {
  readonly #options: Options;
  /** The epoch of the log to which `#next` refers. */
  #epoch: number;
  /** The number of the next change to send. */
  #next: number;
  /** Undefined if no snapshot is needed, or once it has been sent. */
  #snapshot: Snapshot | undefined;
  /** Whether `opened` has been sent for the current transfer. */
  #opened = false;
  /** The ids of the last `sync` received, and of the last one for which a proof has been requested. */
  #requestedId = 0n;
  #provingId = 0n;
  readonly #proofs: SharedRounds<bigint>;
  /** The response to a `sync`, which is sent once all changes with numbers below `changesEnd` have been sent. */
  #answer: { readonly changesEnd: number; readonly delivery: Delivery } | undefined;
  /** Called when {@link next} may have a message again. */
  onReady = () => {};

  constructor(options: Options) {
    this.#options = options;
    this.#epoch = options.changeLog.epoch;
    this.#next = options.firstChange ?? 0;
    this.#proofs = new SharedRounds({ take: () => this.#takeSyncs(), send: (id) => this.#prove(id) });
    if (options.firstChange === undefined) this.#startOver();
  }

  get callerName(): string {
    return this.#options.caller.principal.name;
  }

  /**
   * The next message; undefined if there is nothing to send now. Throws when the stream has to end: NOT_FRESH if there is no index any more,
   * UNAUTHENTICATED if the caller's own token has been blacklisted.
   */
  next(): Delivery | undefined {
    const { changeLog, host, caller } = this.#options;
    if (!changeLog.isOpen) throw NO_INDEX;
    host.rejectIfRevoked(caller);
    if (changeLog.epoch !== this.#epoch || this.#hasMissed()) {
      host.observer?.startedOver();
      this.#startOver();
    }
    if (!this.#opened) return this.#open();
    if (this.#snapshot !== undefined) {
      return host.hasSnapshotTurn(this) ? this.#part(this.#snapshot) : undefined;
    }
    const end = this.#answer?.changesEnd ?? changeLog.end;
    if (this.#next < end) {
      const { change, next } = changeLog.merge(this.#next, end);
      this.#next = next;
      return { kind: "change", change };
    }
    const delivery = this.#answer?.delivery;
    this.#answer = undefined;
    return delivery;
  }

  /** How many logged changes have not been sent; those included in a snapshot do not count. */
  get behind(): number {
    const { changeLog } = this.#options;
    return changeLog.epoch === this.#epoch ? changeLog.end - this.#next : 0;
  }

  /** True when the snapshot, the changes logged so far, and the response to every `sync` have been sent. */
  get isSettled(): boolean {
    const isProven = !this.#proofs.isBusy && this.#answer === undefined;
    return this.#opened && this.#snapshot === undefined && isProven && this.behind === 0;
  }

  /** Requests proof by a read that is sent after this call. Throws INVALID_REQUEST unless `id` is greater than all before. */
  sync(id: bigint): void {
    this.#requestedId = checkIncreasing(id, this.#requestedId);
    this.#proofs.requested();
  }

  close(): void {
    this.#options.host.leave(this);
    this.onReady = () => {};
  }

  /** Whether the log has dropped changes that are still to be sent. A snapshot that has not begun needs none of them. */
  #hasMissed(): boolean {
    return this.#snapshot?.place !== 0 && this.#next < this.#options.changeLog.first;
  }

  /** Starts over with a snapshot. The entries already sent stay valid, but changes may be missing. */
  #startOver(): void {
    const { changeLog, host, follower } = this.#options;
    host.endSnapshot(this);
    if (this.#epoch !== changeLog.epoch) this.#retractProof();
    this.#epoch = changeLog.epoch;
    this.#opened = false;
    this.#snapshot = { revision: follower.applied, place: 0, unsent: [], builder: new ColumnsBuilder() };
  }

  /** A proof of another index is not reported for this one. */
  #retractProof(): void {
    if (this.#answer?.delivery.kind !== "synced") return;
    const { id } = this.#answer.delivery;
    this.#answer = { changesEnd: 0, delivery: { kind: "unsynced", id, reason: "NOT_FRESH" } };
  }

  #open(): Delivery {
    const { follower } = this.#options;
    this.#opened = true;
    const isSnapshot = this.#snapshot !== undefined;
    const { fingerprintKey, size } = follower.entries;
    return { kind: "opened", isSnapshot, fingerprintKey, count: isSnapshot ? size : 0 };
  }

  #part(snapshot: Snapshot): Delivery {
    const { changeLog, host, follower } = this.#options;
    if (snapshot.place === 0) {
      // The snapshot's turn may come long after `opened` was sent, and the snapshot includes what was added to the index meanwhile.
      snapshot.revision = follower.applied;
      this.#next = changeLog.end;
    }
    if (snapshot.unsent.length === 0) this.#visit(snapshot);
    const entries = snapshot.unsent.shift() as EntryColumns;
    if (snapshot.place < END_OF_PLACES || snapshot.unsent.length > 0) {
      return { kind: "part", entries, revision: undefined };
    }
    this.#snapshot = undefined;
    host.endSnapshot(this);
    return { kind: "part", entries, revision: snapshot.revision };
  }

  /** Collects the entries at the next place. */
  #visit(snapshot: Snapshot): void {
    const { host, follower } = this.#options;
    const { leewayMs } = host;
    const now = host.now();
    snapshot.place = follower.entries.visit(snapshot.place, (fingerprint, expiresAt) => {
      const until = expiresAt + leewayMs;
      if (until > now) snapshot.builder.add(fingerprint, until);
    });
    snapshot.unsent = [...inParts(snapshot.builder.take(), MAX_ENTRIES_PER_MESSAGE)];
  }

  /** The id of the `sync` to prove next: the last one stands for all before it. Undefined if there is none. */
  #takeSyncs(): bigint | undefined {
    if (this.#requestedId === this.#provingId) return undefined;
    this.#provingId = this.#requestedId;
    return this.#provingId;
  }

  #prove(id: bigint): void {
    const { changeLog, follower } = this.#options;
    const settle = (delivery: Delivery) => {
      this.#answer = { changesEnd: changeLog.end, delivery };
      this.#proofs.ended();
      this.onReady();
    };
    follower.prove({
      cost: PROOF_MICROS,
      proven: ({ revision }) => settle({ kind: "synced", id, revision }),
      failed: (error) => settle({ kind: "unsynced", id, reason: reasonOf(error) }),
    });
  }
}

/** Returns `id`. Throws INVALID_REQUEST unless it is greater than `before`. */
export function checkIncreasing(id: bigint, before: bigint): bigint {
  if (id > before) return id;
  throw invalidRequest([{ field: "sync.id", description: "must be greater than every one before" }]);
}

function reasonOf(error: unknown): Reason {
  return error instanceof ServiceError ? error.reason : "STORE_UNAVAILABLE";
}
