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
  /** Called before the follower has the store. */
  readonly before?: (store: HeldStore) => void;
}

/** A follower that nobody has started yet, on a clock and a database that do what a test says. */
export class FollowerStage {
  readonly clock = new FakeClock();
  readonly store = new HeldStore({ clock: this.clock });
  readonly changeLog = new ChangeLog();
  readonly acknowledged = new AcknowledgedCommits(this.store);
  readonly follower: Follower;
  /** How those who asked were answered so far, by the names they gave. */
  readonly told: Record<string, string> = {};
  readonly #records: () => LogRecord[];

  constructor({ maxEntries = 1_000_000, page, before = () => {} }: Options = {}) {
    const { clock, store, changeLog } = this;
    if (page !== undefined) store.page = page;
    before(store);
    const { log, records } = memoryLog();
    this.#records = records;
    const clocks = new ClockBounds(clock);
    const shared = { store, acknowledged: this.acknowledged, clock, clocks, leewayMs: LEEWAY };
    this.follower = new Follower({ ...shared, log, changeLog, maxEntries });
  }

  get latest(): Held<unknown> {
    return this.store.changes.at(-1) as Held<unknown>;
  }

  /** Loads the index, and forgets the reads that it took. */
  async load(): Promise<void> {
    const { store, follower } = this;
    store.holding = false;
    follower.start();
    while (follower.phase === "loading") await turn();
    store.holding = true;
    store.changes.splice(0);
    store.scans.splice(0);
  }

  /** A commit of this replica's own, of which the follower has not been told yet. */
  async write(...entries: readonly NewEntry[]): Promise<CommitResult> {
    const { clock, store } = this;
    const written = store.write(entries, { now: clock.now(), leewayMs: LEEWAY });
    await store.writes.at(-1)?.release();
    return written;
  }

  /** Tells the follower of it. Resolves when that is done or waits for something, and notes under `name` how it ended. */
  async acknowledge(receipt: CommitResult, name = "writer"): Promise<void> {
    const end = (how: string) => {
      this.told[name] = how;
    };
    Promise.resolve()
      .then(() => this.follower.acknowledged(receipt))
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

  /** One question, asked and answered. */
  async prove(name = "somebody"): Promise<string | undefined> {
    this.ask(name);
    await settle();
    await this.release();
    return this.told[name];
  }

  /** Lets the latest read bring what it found. */
  async release(): Promise<void> {
    await this.latest.release();
    await settle();
  }

  async fail(): Promise<void> {
    await this.latest.fail(AWAY);
    await settle();
  }

  /** Lets every read end, also those that follow from it. */
  async releaseAll(): Promise<void> {
    const begun = () => [...this.store.scans, ...this.store.changes];
    for (let before = -1; before !== begun().length; ) {
      before = begun().length;
      for (const held of begun()) await held.release();
      await settle();
    }
  }

  /** Of `texts`, those that the index holds. */
  known(...texts: string[]): string[] {
    return texts.filter((text) => this.follower.expiryOf(text as Jti) !== 0);
  }

  logged(message: RegExp): LogRecord[] {
    return this.#records().filter(({ msg }) => message.test(String(msg)));
  }
}

/** Everything has happened that waits for no outside event. */
export async function settle(): Promise<void> {
  for (let count = 0; count < 10; count++) await turn();
}

/** Where a read of changes began. */
export function positionOf(input: unknown): [number, string] {
  const { from } = input as { from: { revision: number; key: Uint8Array } };
  return [from.revision, Buffer.from(from.key).toString()];
}
