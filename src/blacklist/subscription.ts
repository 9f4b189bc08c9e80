import type { KnownCaller } from "../caller.ts";
import type { EpochMs } from "../entry.ts";
import { invalidRequest, type Reason, ServiceError } from "../errors.ts";
import { MAX_ENTRIES_A_MESSAGE } from "../limits.ts";
import type { Revision } from "../revision.ts";
import { type Columns, ColumnsBuilder, inParts } from "../token-index/columns.ts";
import { LAST_PLACE } from "../token-index/token-index.ts";
import type { Change, ChangeLog } from "./change-log.ts";
import { NO_INDEX } from "./doubt.ts";
import type { Follower } from "./follower.ts";
import type { Observer } from "./observer.ts";

/** What is to be sent to a copy. */
export type Delivery =
  /** Entries are about to come: all that are live, or those that have changed. */
  | { readonly kind: "opened"; readonly isSnapshot: boolean; readonly key: Buffer; readonly count: number }
  /** A part of a snapshot, made for this copy alone. */
  | { readonly kind: "part"; readonly columns: Columns; readonly revision: Revision | undefined }
  /** A change, or several as one: the same object for all copies that are equally far. */
  | { readonly kind: "change"; readonly change: Change }
  | { readonly kind: "synced"; readonly id: bigint; readonly revision: Revision }
  | { readonly kind: "unsynced"; readonly id: bigint; readonly reason: Reason };

/** What all subscriptions share. */
export interface SubscriptionHost {
  /** Throws UNAUTHENTICATED when the caller's own token is blacklisted, as far as the index knows. */
  judge(caller: KnownCaller): void;
  /** What has passed by this has passed by both clocks. */
  now(): EpochMs;
  /** For how long after its expiry an entry still answers. */
  readonly leewayMs: number;
  /** Whether it is this one's turn to be sent a snapshot. It keeps the turn until {@link endSnapshot}. */
  mayBeginSnapshot(subscription: Subscription): boolean;
  endSnapshot(subscription: Subscription): void;
  leave(subscription: Subscription): void;
  readonly observer: Observer;
}

interface Options {
  readonly feed: SubscriptionHost;
  readonly follower: Follower;
  readonly changeLog: ChangeLog;
  readonly caller: KnownCaller;
  /** The first change to hand over; undefined: everything there is. */
  readonly place: number | undefined;
}

/** A snapshot under way. */
interface Snapshot {
  /** Everything that it includes was in the index when the first part was sent. */
  revision: Revision;
  /** As {@link Follower.visit} counts. */
  place: number;
  /** Of the place before, what is still to be sent. */
  rest: Columns[];
  /** As large as a place has entries: it goes when the snapshot has been sent. */
  readonly entries: ColumnsBuilder;
}

/**
 * What one copy is still to be sent, in order. It is asked when there is room on the way: nothing is kept for a copy but where it
 * is, so one that is too slow for the changes starts over.
 */
export class Subscription {
  readonly #options: Options;
  #epoch: number;
  /** The number of the next change. */
  #next: number;
  /** Undefined once it has been sent. */
  #snapshot: Snapshot | undefined;
  #opened = false;
  /** The last `sync` that was asked for, and the last that has been answered. */
  #asked = 0n;
  #isProving = false;
  /** An answer that goes out when all changes before `after` have. */
  #answer: { readonly after: number; readonly delivery: Delivery } | undefined;
  /** Called when {@link next} may have something again. */
  onReady = () => {};

  constructor(options: Options) {
    this.#options = options;
    this.#epoch = options.changeLog.epoch;
    this.#next = options.place ?? 0;
    if (options.place === undefined) this.#startOver();
  }

  get callerName(): string {
    return this.#options.caller.principal.name;
  }

  /**
   * What is to be sent next; undefined: nothing just now. Throws when the stream has to end: NOT_FRESH where there is no index any
   * more, UNAUTHENTICATED where the caller's own token has been blacklisted.
   */
  next(): Delivery | undefined {
    const { changeLog, feed, caller } = this.#options;
    if (!changeLog.isOpen) throw NO_INDEX;
    feed.judge(caller);
    if (changeLog.epoch !== this.#epoch || this.#hasMissed()) {
      feed.observer.startedOver();
      this.#startOver();
    }
    if (!this.#opened) return this.#open();
    if (this.#snapshot !== undefined) {
      return feed.mayBeginSnapshot(this) ? this.#part(this.#snapshot) : undefined;
    }
    const end = this.#answer?.after ?? changeLog.end;
    if (this.#next < end) {
      const { change, next } = changeLog.together(this.#next, end);
      this.#next = next;
      return { kind: "change", change };
    }
    const delivery = this.#answer?.delivery;
    this.#answer = undefined;
    return delivery;
  }

  /** How many changes have been logged that it has not been sent; those that a snapshot includes are not among them. */
  get behind(): number {
    const { changeLog } = this.#options;
    return changeLog.epoch === this.#epoch ? changeLog.end - this.#next : 0;
  }

  /** True when nothing that was asked for is outstanding: snapshot, changes logged so far, and the answer to every `sync`. */
  get isSettled(): boolean {
    const isProven = !this.#isProving && this.#answer === undefined;
    return this.#opened && this.#snapshot === undefined && isProven && this.behind === 0;
  }

  /** Asks for proof, by a read that is sent later than now. Throws INVALID_REQUEST unless `id` is greater than all before. */
  sync(id: bigint): void {
    this.#asked = later(id, this.#asked);
    if (!this.#isProving) this.#prove();
  }

  close(): void {
    this.#options.feed.leave(this);
    this.onReady = () => {};
  }

  /** Whether the log has dropped what is still to be sent. A snapshot of which nothing has been sent begins later, that is all. */
  #hasMissed(): boolean {
    return this.#snapshot?.place !== 0 && this.#next < this.#options.changeLog.first;
  }

  /** Everything anew: what has been sent stays true, but something may be missing. */
  #startOver(): void {
    const { changeLog, feed, follower } = this.#options;
    feed.endSnapshot(this);
    if (this.#epoch !== changeLog.epoch) this.#disown();
    this.#epoch = changeLog.epoch;
    this.#opened = false;
    const entries = new ColumnsBuilder();
    this.#snapshot = { revision: follower.applied, place: 0, rest: [], entries };
  }

  /** What was proven of another index is not said of this one. */
  #disown(): void {
    if (this.#answer?.delivery.kind !== "synced") return;
    const { id } = this.#answer.delivery;
    this.#answer = { after: 0, delivery: { kind: "unsynced", id, reason: "NOT_FRESH" } };
  }

  #open(): Delivery {
    const { follower } = this.#options;
    this.#opened = true;
    const isSnapshot = this.#snapshot !== undefined;
    return { kind: "opened", isSnapshot, key: follower.key, count: isSnapshot ? follower.size : 0 };
  }

  #part(snapshot: Snapshot): Delivery {
    const { changeLog, feed, follower } = this.#options;
    if (snapshot.place === 0) {
      // Its turn may have come long after it was announced: whatever the index holds by now is in it.
      snapshot.revision = follower.applied;
      this.#next = changeLog.end;
    }
    if (snapshot.rest.length === 0) this.#visit(snapshot);
    const columns = snapshot.rest.shift() as Columns;
    if (snapshot.place < LAST_PLACE || snapshot.rest.length > 0) {
      return { kind: "part", columns, revision: undefined };
    }
    this.#snapshot = undefined;
    feed.endSnapshot(this);
    return { kind: "part", columns, revision: snapshot.revision };
  }

  /** Gets what stands at the next place. */
  #visit(snapshot: Snapshot): void {
    const { feed, follower } = this.#options;
    const { leewayMs } = feed;
    // Read once: there are thousands of entries.
    const now = feed.now();
    snapshot.place = follower.visit(snapshot.place, (print, expiresAt) => {
      const until = expiresAt + leewayMs;
      if (until > now) snapshot.entries.add(print, until);
    });
    snapshot.rest = [...inParts(snapshot.entries.take(), MAX_ENTRIES_A_MESSAGE)];
  }

  /** Who asks while a read is under way shares the next one. */
  #prove(): void {
    const { changeLog, follower } = this.#options;
    const id = this.#asked;
    this.#isProving = true;
    const settle = (delivery: Delivery) => {
      this.#isProving = false;
      this.#answer = { after: changeLog.end, delivery };
      if (this.#asked > id) this.#prove();
      this.onReady();
    };
    follower.prove({
      cost: PROOF_MICROS,
      proven: ({ revision }) => settle({ kind: "synced", id, revision }),
      failed: (error) => settle({ kind: "unsynced", id, reason: reasonOf(error) }),
    });
  }
}

/** The id of a `sync`, which comes after another. Throws INVALID_REQUEST unless it is greater. */
export function later(id: bigint, before: bigint): bigint {
  if (id > before) return id;
  throw invalidRequest([{ field: "sync.id", description: "must be greater than every one before" }]);
}

/** What sending a proof costs, in microseconds. */
const PROOF_MICROS = 50;

function reasonOf(error: unknown): Reason {
  return error instanceof ServiceError ? error.reason : "STORE_UNAVAILABLE";
}
