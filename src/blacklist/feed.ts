import type { BothClocks } from "../both-clocks.ts";
import type { KnownCaller } from "../caller.ts";
import type { Clock } from "../clock.ts";
import type { EpochMs } from "../entry.ts";
import { FAILED_WATCH_READ_MS, WATCH_READ_MS } from "../limits.ts";
import type { Revision } from "../revision.ts";
import type { Standing, Store } from "../store/store.ts";
import { refuseRevoked } from "./answer.ts";
import type { ChangeLog } from "./change-log.ts";
import { NO_INDEX } from "./doubt.ts";
import type { Follower } from "./follower.ts";
import { inTurns } from "./in-turns.ts";
import { type Observer, UNOBSERVED } from "./observer.ts";
import { SnapshotTurns } from "./snapshot-turns.ts";
import { Subscription, type SubscriptionHost } from "./subscription.ts";

/** What handing over the latest change to one copy costs, in microseconds. */
const HAND_OVER_MICROS = 30;

interface Options {
  readonly follower: Follower;
  readonly changeLog: ChangeLog;
  readonly store: Store;
  readonly clock: Clock;
  readonly clocks: BothClocks;
  readonly leewayMs: number;
  readonly observer?: Observer;
}

/** From where a copy goes on, and what its fingerprints are made with. */
export interface CopyState {
  readonly revision: Revision;
  readonly key: Uint8Array;
}

/**
 * Hands the index, and whatever changes in it, to those who keep copies. However many there are, they share the follower's one
 * read, which goes out every few milliseconds while there is anybody.
 */
export class Feed implements SubscriptionHost {
  readonly #options: Options;
  readonly observer: Observer;
  readonly #subscriptions = new Set<Subscription>();
  readonly #turns: SnapshotTurns<Subscription>;
  /** Whether all are being handed what is new to them, or will be; and whether there is something newer still. */
  #passing = false;
  #again = false;
  #isReading = false;
  #cancelRead = () => {};

  constructor(options: Options) {
    this.#options = options;
    this.observer = options.observer ?? UNOBSERVED;
    this.#turns = new SnapshotTurns(options.clock);
    options.changeLog.listen(() => this.#plan());
  }

  /** Copies that are being kept. */
  get size(): number {
    return this.#subscriptions.size;
  }

  /** By how many changes the slowest of them is behind. */
  get lag(): number {
    let most = 0;
    for (const { behind } of this.#subscriptions) most = Math.max(most, behind);
    return most;
  }

  /** Copies that are being sent a snapshot, and those that wait for their turn. */
  get snapshots(): { readonly underWay: number; readonly waiting: number } {
    return this.#turns.size;
  }

  /** The earlier of this service's clock and the database's. */
  now(): EpochMs {
    return this.#options.clocks.earlier();
  }

  /**
   * Begins to hand over: from where `copy` is, or, without one or where that cannot be served, all of it. Throws NOT_FRESH where
   * this replica has no index to hand over, UNAUTHENTICATED to a caller whose own token is blacklisted, and what the
   * database throws.
   */
  async open(copy: CopyState | undefined, caller: KnownCaller): Promise<Subscription> {
    const { follower, changeLog } = this.#options;
    if (follower.phase !== "following") throw NO_INDEX;
    const { epoch } = changeLog;
    // What the copy has may have been read by another replica a moment ago.
    await this.#prove();
    this.judge(caller);
    const found = copy === undefined ? undefined : await this.#placeOf(copy);
    if (follower.phase !== "following" || !changeLog.isOpen) throw NO_INDEX;
    // It was found in the log of an index that is gone.
    const place = changeLog.epoch === epoch ? found : undefined;
    const subscription = new Subscription({ feed: this, follower, changeLog, caller, place });
    this.#subscriptions.add(subscription);
    this.#keepReading();
    return subscription;
  }

  judge(caller: KnownCaller): void {
    const { follower, leewayMs, clocks } = this.#options;
    if (caller.principal.jti === undefined) return;
    refuseRevoked(caller, {
      expiryOf: (jti) => follower.expiryOf(jti),
      now: clocks.earlier(),
      leewayMs,
      revision: follower.applied,
    });
  }

  get leewayMs(): number {
    return this.#options.leewayMs;
  }

  mayBeginSnapshot(subscription: Subscription): boolean {
    return this.#turns.ask(subscription);
  }

  endSnapshot(subscription: Subscription): void {
    if (this.#turns.end(subscription)) this.#plan();
  }

  leave(subscription: Subscription): void {
    this.#subscriptions.delete(subscription);
    this.endSnapshot(subscription);
    if (this.#subscriptions.size > 0) return;
    this.#cancelRead();
  }

  /** Who does not read holds up nobody: the turn goes to the next, and is asked for again at the end of the line. */
  #passTurns(): void {
    for (const one of this.#turns.idle()) this.endSnapshot(one);
  }

  /** The number of the first change that the copy lacks; undefined where that is not known, or not kept any more. */
  async #placeOf({ revision, key }: CopyState): Promise<number | undefined> {
    const { follower, changeLog, store } = this.#options;
    if (!follower.key.equals(key) || revision.number > follower.applied.number) return undefined;
    // What the database has lost is told in snapshots alone: it is not among what changed after any revision.
    if (follower.holdsLost) return undefined;
    if (!follower.reflects(revision) && (await store.missing([revision])).length > 0) return undefined;
    return changeLog.after(revision.number);
  }

  #prove(): Promise<Standing> {
    return this.#options.follower.standing();
  }

  /** One after the other, with a short pause, for as long as there is anybody. */
  #keepReading(): void {
    if (this.#isReading) return;
    const { clock } = this.#options;
    const again = (pause: number) => {
      this.#passTurns();
      this.#isReading = this.#subscriptions.size > 0;
      if (!this.#isReading) return;
      const cancel = clock.schedule(pause, read);
      this.#cancelRead = () => {
        cancel();
        this.#isReading = false;
        this.#cancelRead = () => {};
      };
    };
    const read = () => {
      // It goes on, or ends, when the answer is there: not a second time beside it.
      this.#cancelRead = () => {};
      this.#prove().then(
        () => again(WATCH_READ_MS),
        // Whoever asked for proof is told.
        () => again(FAILED_WATCH_READ_MS),
      );
    };
    again(WATCH_READ_MS);
  }

  /**
   * Several changes may come in one turn of the event loop, and many copies take several turns: one round at a time, or the rounds
   * would take more and more of every turn.
   */
  #plan(): void {
    this.#again = true;
    if (this.#passing || this.#subscriptions.size === 0) return;
    this.#passing = true;
    setImmediate(() => {
      this.#again = false;
      const all = [...this.#subscriptions].map((one) => ({
        cost: HAND_OVER_MICROS,
        work: () => one.onReady(),
      }));
      const done = () => {
        this.#passing = false;
        if (this.#again) this.#plan();
      };
      inTurns([...all, { cost: 0, work: done }], ({ work }) => work());
    });
  }
}
