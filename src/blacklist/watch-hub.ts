import type { KnownCaller } from "../caller.ts";
import type { EpochMs } from "../entry.ts";
import type { Revision } from "../revision.ts";
import type { Store } from "../store/store.ts";
import type { Clock } from "../time/clock.ts";
import type { ClockBounds } from "../time/clock-bounds.ts";
import type { ChangeLog } from "./change-log.ts";
import { rejectRevokedCaller } from "./check-service.ts";
import type { Follower } from "./follower.ts";
import type { Observer } from "./observer.ts";
import { SnapshotTurns } from "./snapshot-turns.ts";
import { Subscription, type SubscriptionHost } from "./subscription.ts";
import { timeSliced } from "./time-slicing.ts";
import { NO_INDEX } from "./unavailability.ts";

/** Pause between two reads while there are copies. A copy is late by at most this, two reads and the transmission. */
export const WATCH_READ_MS = 8;
/** Pause after a failed read while there are copies. */
export const FAILED_WATCH_READ_MS = 100;

/** The cost of notifying one subscription of a change, in microseconds. */
const NOTIFY_MICROS = 30;

interface Options {
  readonly follower: Follower;
  readonly changeLog: ChangeLog;
  readonly store: Store;
  readonly clock: Clock;
  readonly clockBounds: ClockBounds;
  readonly leewayMs: number;
  readonly observer?: Observer;
}

/** What a copy has when its stream begins: all changes up to `revision`, with fingerprints made with `fingerprintKey`. */
export interface CopyState {
  readonly revision: Revision;
  readonly fingerprintKey: Uint8Array;
}

/**
 * Sends the index and its changes to local copies. All copies share the follower's read, which is repeated every few milliseconds
 * while there is a copy.
 */
export class WatchHub implements SubscriptionHost {
  readonly #options: Options;
  readonly observer: Observer | undefined;
  readonly #subscriptions = new Set<Subscription>();
  readonly #turns: SnapshotTurns<Subscription>;
  /** Whether a round of notifications is scheduled or running. */
  #isNotifying = false;
  /** Whether something has changed since that round of notifications began. */
  #hasNewChange = false;
  /** Whether a read is scheduled or in flight. */
  #isReading = false;
  #cancelRead = () => {};

  constructor(options: Options) {
    this.#options = options;
    this.observer = options.observer;
    this.#turns = new SnapshotTurns(options.clock);
    options.changeLog.onChange = () => this.#scheduleNotifications();
  }

  get size(): number {
    return this.#subscriptions.size;
  }

  /** By how many changes the slowest copy is behind. */
  get lag(): number {
    return [...this.#subscriptions].reduce((most, { behind }) => Math.max(most, behind), 0);
  }

  /** How many copies are being sent a snapshot, and how many wait for one. */
  get snapshots(): { readonly inFlight: number; readonly waiting: number } {
    return this.#turns.size;
  }

  now(): EpochMs {
    return this.#options.clockBounds.earliest();
  }

  /**
   * Opens a subscription that resumes from `copy`; without `copy`, or if the log lacks changes, it begins with a snapshot. Throws NOT_FRESH
   * if this replica has no index to send, UNAUTHENTICATED when the caller's own token is blacklisted, and the errors of the database.
   */
  async open(copy: CopyState | undefined, caller: KnownCaller): Promise<Subscription> {
    const { follower, changeLog } = this.#options;
    if (follower.phase !== "following") throw NO_INDEX;
    const { epoch } = changeLog;
    // The copy may come from a replica that was ahead of this one: read the changes before looking for its revision.
    await follower.databaseState();
    this.rejectIfRevoked(caller);
    const found = copy === undefined ? undefined : await this.#firstChangeFor(copy);
    if (follower.phase !== "following" || !changeLog.isOpen) throw NO_INDEX;
    // If the index has been reloaded meanwhile, `found` is a position in the log of the earlier index.
    const firstChange = changeLog.epoch === epoch ? found : undefined;
    const subscription = new Subscription({ host: this, follower, changeLog, caller, firstChange });
    this.#subscriptions.add(subscription);
    this.#keepReading();
    return subscription;
  }

  rejectIfRevoked(caller: KnownCaller): void {
    if (caller.principal.token === undefined) return;
    const { follower, leewayMs } = this.#options;
    rejectRevokedCaller(caller, { entries: follower.entries, now: this.now(), leewayMs });
  }

  get leewayMs(): number {
    return this.#options.leewayMs;
  }

  hasSnapshotTurn(subscription: Subscription): boolean {
    return this.#turns.ask(subscription);
  }

  endSnapshot(subscription: Subscription): void {
    if (this.#turns.end(subscription)) this.#scheduleNotifications();
  }

  leave(subscription: Subscription): void {
    this.#subscriptions.delete(subscription);
    this.endSnapshot(subscription);
    if (this.#subscriptions.size === 0) this.#cancelRead();
  }

  /** The number of the first change that the copy lacks; undefined if that is unknown or the change has been dropped. */
  async #firstChangeFor({ revision, fingerprintKey }: CopyState): Promise<number | undefined> {
    const { follower, changeLog, store } = this.#options;
    if (!follower.entries.fingerprintKey.equals(fingerprintKey) || revision.number > follower.applied.number)
      return undefined;
    // Entries that the database has lost are in the index but not in the change log, so only a snapshot can send them.
    if (follower.hasLostEntries) return undefined;
    if (!follower.reflects(revision) && (await store.missing([revision])).length > 0) return undefined;
    return changeLog.positionAfter(revision.number);
  }

  /** Reads one after another, with a short pause, while there are subscriptions. */
  #keepReading(): void {
    if (this.#isReading) return;
    const { clock, follower } = this.#options;
    const readAfter = (pauseMs: number) => {
      // A copy that does not read its snapshot delays no other. It queues again when it next asks.
      for (const idle of this.#turns.idle()) this.endSnapshot(idle);
      this.#isReading = this.#subscriptions.size > 0;
      if (!this.#isReading) return;
      const cancel = clock.schedule(pauseMs, read);
      this.#cancelRead = () => {
        cancel();
        this.#isReading = false;
        this.#cancelRead = () => {};
      };
    };
    const read = () => {
      // The completion of a read decides whether to continue. If `#cancelRead` cleared `#isReading` now, the next `open` would start a second
      // loop.
      this.#cancelRead = () => {};
      follower.databaseState().then(
        () => readAfter(WATCH_READ_MS),
        // Each subscription that waits for a proof receives the error itself.
        () => readAfter(FAILED_WATCH_READ_MS),
      );
    };
    readAfter(WATCH_READ_MS);
  }

  /**
   * Notifies all subscriptions that they may have a message. Several changes may arrive in one turn of the event loop, and many copies
   * take several turns. Only one round runs at a time, because several would take a growing share of every turn.
   */
  #scheduleNotifications(): void {
    this.#hasNewChange = true;
    if (this.#isNotifying || this.#subscriptions.size === 0) return;
    this.#isNotifying = true;
    setImmediate(() => {
      this.#hasNewChange = false;
      const all = [...this.#subscriptions].map((one) => ({
        cost: NOTIFY_MICROS,
        work: () => one.onReady(),
      }));
      const done = () => {
        this.#isNotifying = false;
        if (this.#hasNewChange) this.#scheduleNotifications();
      };
      timeSliced([...all, { cost: 0, work: done }], ({ work }) => work());
    });
  }
}
