import type { KnownCaller } from "../caller.ts";
import { invalidRequest, type Reason, ServiceError } from "../errors.ts";
import type { Revision } from "../revision.ts";
import { type Columns, ColumnsBuilder } from "../token-index/columns.ts";
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
  /** A change, the same object for all copies. */
  | { readonly kind: "change"; readonly change: Change }
  | { readonly kind: "synced"; readonly id: bigint; readonly revision: Revision }
  | { readonly kind: "unsynced"; readonly id: bigint; readonly reason: Reason };

/** What all subscriptions share. */
export interface SubscriptionHost {
  /** Throws UNAUTHENTICATED when the caller's own token is blacklisted, as far as the index knows. */
  judge(caller: KnownCaller): void;
  /** Until when an entry answers; undefined where that has passed. */
  untilOf(expiresAt: number): number | undefined;
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
  /** Everything that it includes is in the index. */
  readonly revision: Revision;
  /** As {@link Follower.visit} counts. */
  place: number;
}

/**
 * What one copy is still to be sent, in order. It is asked when there is room on the way: nothing is kept for a copy but where it
 * is, so one that is too slow for the changes starts over.
 */
export class Subscription {
  readonly #options: Options;
  readonly #entries = new ColumnsBuilder();
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

  /**
   * What is to be sent next; undefined: nothing just now. Throws when the stream has to end: NOT_FRESH where there is no index any
   * more, UNAUTHENTICATED where the caller's own token has been blacklisted.
   */
  next(): Delivery | undefined {
    const { changeLog, feed, caller } = this.#options;
    if (!changeLog.isOpen) throw NO_INDEX;
    feed.judge(caller);
    if (changeLog.epoch !== this.#epoch || this.#next < changeLog.first) {
      feed.observer.startedOver();
      this.#startOver();
    }
    if (!this.#opened) return this.#open();
    if (this.#snapshot !== undefined) {
      return feed.mayBeginSnapshot(this) ? this.#part(this.#snapshot) : undefined;
    }
    const change = changeLog.at(this.#next);
    if (change !== undefined && (this.#answer === undefined || this.#next < this.#answer.after)) {
      this.#next++;
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

  /** Asks for proof, by a read that is sent later than now. Throws INVALID_REQUEST unless `id` is greater than all before. */
  sync(id: bigint): void {
    if (id <= this.#asked) {
      throw invalidRequest([{ field: "sync.id", description: "must be greater than every one before" }]);
    }
    this.#asked = id;
    if (!this.#isProving) this.#prove();
  }

  close(): void {
    this.#options.feed.leave(this);
    this.onReady = () => {};
  }

  /** Everything anew: what has been sent stays true, but something may be missing. */
  #startOver(): void {
    const { changeLog, feed, follower } = this.#options;
    feed.endSnapshot(this);
    this.#epoch = changeLog.epoch;
    this.#opened = false;
    this.#next = changeLog.end;
    this.#snapshot = { revision: follower.applied, place: 0 };
  }

  #open(): Delivery {
    const { follower } = this.#options;
    this.#opened = true;
    const isSnapshot = this.#snapshot !== undefined;
    return { kind: "opened", isSnapshot, key: follower.key, count: isSnapshot ? follower.size : 0 };
  }

  #part(snapshot: Snapshot): Delivery {
    const { feed, follower } = this.#options;
    snapshot.place = follower.visit(snapshot.place, (print, expiresAt) => {
      const until = feed.untilOf(expiresAt);
      if (until !== undefined) this.#entries.add(print, until);
    });
    const isLast = snapshot.place === LAST_PLACE;
    if (isLast) {
      this.#snapshot = undefined;
      feed.endSnapshot(this);
    }
    return {
      kind: "part",
      columns: this.#entries.take(),
      revision: isLast ? snapshot.revision : undefined,
    };
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

/** What sending a proof costs, in microseconds. */
const PROOF_MICROS = 50;

function reasonOf(error: unknown): Reason {
  return error instanceof ServiceError ? error.reason : "STORE_UNAVAILABLE";
}
