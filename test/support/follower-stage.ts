import { AcknowledgedCommits } from "../../src/blacklist/acknowledged-commits.ts";
import { ChangeLog } from "../../src/blacklist/change-log.ts";
import { Follower } from "../../src/blacklist/follower.ts";
import type { EpochMs, Jti, NewEntry } from "../../src/entry.ts";
import { type ServiceError, storeUnavailable } from "../../src/errors.ts";
import type { CommitResult, DatabaseState } from "../../src/store/store.ts";
import { ClockBounds } from "../../src/time/clock-bounds.ts";
import { FakeClock } from "./fake-clock.ts";
import { type Held, HeldStore, turn } from "./held-store.ts";
import { type LogRecord, memoryLog } from "./memory-log.ts";

export const LEEWAY = 60_000;
export const HOUR = 3_600_000;
export const AWAY = storeUnavailable("away");

export const at = (ms: number) => ({ expiresAt: ms as EpochMs });

interface Options {
  readonly maxEntries?: number;
  readonly page?: number;
  /** Called before the follower gets the store. */
  readonly before?: (store: HeldStore) => void;
}

/** A follower that has not been started, on a fake clock and a held store. */
export class FollowerStage {
  readonly clock = new FakeClock();
  readonly clockBounds = new ClockBounds(this.clock);
  readonly store = new HeldStore({ clock: this.clock });
  readonly changeLog = new ChangeLog();
  readonly acknowledged = new AcknowledgedCommits(this.store);
  readonly follower: Follower;
  /** The results of the proofs so far, by the names given. */
  readonly told: Record<string, string> = {};
  readonly #records: () => LogRecord[];

  constructor({ maxEntries = 1_000_000, page, before = () => {} }: Options = {}) {
    const { clock, clockBounds, store, changeLog } = this;
    if (page !== undefined) store.page = page;
    before(store);
    const { log, records } = memoryLog();
    this.#records = records;
    const shared = { store, acknowledged: this.acknowledged, clock, clockBounds, leewayMs: LEEWAY };
    this.follower = new Follower({ ...shared, log, changeLog, maxEntries });
  }

  get latest(): Held<unknown> {
    return this.store.changes.at(-1) as Held<unknown>;
  }

  /** Loads the index, and clears the recorded reads. */
  async load(): Promise<void> {
    const { store, follower } = this;
    store.holding = false;
    follower.start();
    while (follower.phase === "loading") await turn();
    store.holding = true;
    store.changes.splice(0);
    store.scans.splice(0);
  }

  /** Commits as this replica, without calling `acknowledged`. */
  async write(...entries: readonly NewEntry[]): Promise<CommitResult> {
    const { clock, store } = this;
    const written = store.write(entries, { now: clock.now(), leewayMs: LEEWAY });
    await store.writes.at(-1)?.release();
    return written;
  }

  /** Calls `acknowledged`. Resolves when it has ended or waits for another event, and records the result under `name`. */
  async acknowledge(receipt: CommitResult, name = "writer"): Promise<void> {
    const end = (how: string) => {
      this.told[name] = how;
    };
    Promise.resolve()
      .then(() => this.follower.addOwnCommit(receipt))
      .then(
        () => end("acknowledged"),
        (error: ServiceError) => end(error.reason),
      );
    await settle();
  }

  ask(name: string, cost = 1): void {
    this.follower.prove({
      cost,
      proven: ({ revision }: DatabaseState) => {
        this.told[name] = `proven at ${revision.number}`;
      },
      failed: (error) => {
        this.told[name] = (error as ServiceError).reason;
      },
    });
  }

  /** Requests one proof, and completes it. */
  async prove(name = "caller"): Promise<string | undefined> {
    this.ask(name);
    await settle();
    await this.release();
    return this.told[name];
  }

  /** Completes the latest read. */
  async release(): Promise<void> {
    await this.latest.release();
    await settle();
  }

  async fail(): Promise<void> {
    await this.latest.fail(AWAY);
    await settle();
  }

  /** Completes every read, further ones included. */
  async releaseAll(): Promise<void> {
    const begun = () => [...this.store.scans, ...this.store.changes];
    for (let before = -1; before !== begun().length; ) {
      before = begun().length;
      for (const held of begun()) await held.release();
      await settle();
    }
  }

  /** Those of `texts` that the index contains. */
  known(...texts: string[]): string[] {
    return texts.filter((text) => this.follower.entries.expiryOf(text as Jti) !== 0);
  }

  logged(message: RegExp): LogRecord[] {
    return this.#records().filter(({ msg }) => message.test(String(msg)));
  }
}

/** Resolves when everything that needs no outside event has happened. */
export async function settle(): Promise<void> {
  for (let count = 0; count < 10; count++) await turn();
}

/** The position at which a read of changes began. */
export function positionOf(input: unknown): [number, string] {
  const { from } = input as { from: { revision: number; key: Uint8Array } };
  return [from.revision, Buffer.from(from.key).toString()];
}
