import { AcknowledgedCommits } from "../../src/blacklist/acknowledged-commits.ts";
import { ChangeLog } from "../../src/blacklist/change-log.ts";
import { Follower } from "../../src/blacklist/follower.ts";
import type { Delivery, Subscription } from "../../src/blacklist/subscription.ts";
import { WATCH_READ_MS, WatchHub } from "../../src/blacklist/watch-hub.ts";
import { UNRESTRICTED_PRINCIPAL } from "../../src/caller.ts";
import type { Jti } from "../../src/entry.ts";
import type { ServiceError } from "../../src/errors.ts";
import type { Revision } from "../../src/revision.ts";
import { ClockBounds } from "../../src/time/clock-bounds.ts";
import { type EntryColumns, eachOf } from "../../src/token-index/columns.ts";
import { Fingerprinter } from "../../src/token-index/fingerprint.ts";
import { FakeClock } from "./fake-clock.ts";
import { HeldStore, turn } from "./held-store.ts";
import { memoryLog } from "./memory-log.ts";

export const LEEWAY = 60_000;

/** A watch hub with a real follower, on a fake clock and a held store. */
export class WatchHubStage {
  readonly clock = new FakeClock();
  readonly store = new HeldStore({ clock: this.clock, holding: false });
  readonly changeLog = new ChangeLog();
  readonly follower: Follower;
  readonly watchHub: WatchHub;
  /** Jtis by their fingerprints. */
  readonly #names = new Map<string, string>();
  #fingerprinter: Fingerprinter | undefined;

  constructor({ maxEntries = 1_000_000, page }: { maxEntries?: number; page?: number } = {}) {
    const { clock, store, changeLog } = this;
    if (page !== undefined) store.page = page;
    const clockBounds = new ClockBounds(clock);
    const acknowledged = new AcknowledgedCommits(store);
    const shared = { store, acknowledged, clock, clockBounds, changeLog, leewayMs: LEEWAY };
    this.follower = new Follower({ ...shared, log: memoryLog().log, maxEntries });
    this.watchHub = new WatchHub({ ...shared, follower: this.follower });
  }

  async load(): Promise<void> {
    this.follower.start();
    while (this.follower.phase === "loading") await turn();
  }

  /** Lets the next read for the hub be sent, and everything happen that follows. */
  async read(): Promise<void> {
    this.clock.advance(WATCH_READ_MS);
    await settle();
  }

  /** Subscribes a copy, with an optional revision and an optional jti of its caller's token. */
  async open({
    revision,
    key,
    own,
    isStuck = false,
  }: {
    revision?: Revision;
    key?: Uint8Array;
    own?: string;
    isStuck?: boolean;
  } = {}): Promise<KeptCopy> {
    const principal =
      own === undefined ? UNRESTRICTED_PRINCIPAL : { ...UNRESTRICTED_PRINCIPAL, token: own as Jti };
    const subscription = await this.watchHub.open(
      revision && { revision, fingerprintKey: key ?? this.follower.entries.fingerprintKey },
      {
        isGone: false,
        principal,
      },
    );
    return new KeptCopy(subscription, { stage: this, isStuck });
  }

  /** The sorted jtis of these entries; ? for an unknown one. */
  namesOf(columns: EntryColumns): string {
    const names: string[] = [];
    eachOf(columns, (fingerprint) => names.push(this.#names.get(fingerprint.join(" ")) ?? "?"));
    return names.sort().join(" ");
  }

  know(...names: readonly string[]): void {
    this.#fingerprinter ??= new Fingerprinter(this.follower.entries.fingerprintKey);
    for (const name of names) this.#names.set(this.#fingerprinter.hash(name).join(" "), name);
  }
}

/** A local copy that takes messages whenever it is notified. */
export class KeptCopy {
  readonly subscription: Subscription;
  /** The messages received, as text. */
  readonly story: string[] = [];
  readonly columns: EntryColumns[] = [];
  /** Why it has ended. */
  reason: string | undefined;
  /** While true, it takes no messages. */
  isStuck: boolean;
  readonly #stage: WatchHubStage;

  constructor(
    subscription: Subscription,
    { stage, isStuck }: { readonly stage: WatchHubStage; readonly isStuck: boolean },
  ) {
    this.subscription = subscription;
    this.#stage = stage;
    this.isStuck = isStuck;
    subscription.onReady = () => this.take();
    this.take();
  }

  /** Takes available messages; at most `most`, if given. */
  take(most = Number.POSITIVE_INFINITY): void {
    for (let count = 0; count < most && !this.isStuck && this.reason === undefined; count++) {
      try {
        const delivery = this.subscription.next();
        if (delivery === undefined) return;
        this.story.push(this.#inWords(delivery));
      } catch (error) {
        this.reason = (error as ServiceError).reason;
        this.subscription.close();
      }
    }
  }

  /** The messages since the last call. */
  news(): string[] {
    return this.story.splice(0);
  }

  #inWords(delivery: Delivery): string {
    const at = (revision: Revision | undefined) => (revision === undefined ? "" : ` @${revision.number}`);
    switch (delivery.kind) {
      case "opened":
        return delivery.isSnapshot ? `snapshot of ${delivery.count}` : "changes";
      case "part":
        this.columns.push(delivery.entries);
        return `part ${this.#stage.namesOf(delivery.entries)}${at(delivery.revision)}`;
      case "change":
        this.columns.push(delivery.change);
        return `change ${this.#stage.namesOf(delivery.change)}${at(delivery.change.revision)}`;
      case "synced":
        return `synced ${delivery.id}${at(delivery.revision)}`;
      case "unsynced":
        return `unsynced ${delivery.id} ${delivery.reason}`;
    }
  }
}

export async function settle(): Promise<void> {
  for (let count = 0; count < 12; count++) await turn();
}
