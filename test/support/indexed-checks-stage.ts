import type { CheckAnswer, Freshness } from "../../src/blacklist/check-service.ts";
import { CoalescedChecks } from "../../src/blacklist/coalesced-checks.ts";
import { IndexedChecks } from "../../src/blacklist/indexed-checks.ts";
import type { Jti } from "../../src/entry.ts";
import { AWAY, FollowerStage, LEEWAY, settle } from "./follower-stage.ts";
import { type Held, turn } from "./held-store.ts";

/** A caller that waits for its answer. */
export const HERE = { isGone: false };
export const FRESH: Freshness = { kind: "linearizable" };

export const within = (ms: number): Freshness => ({ kind: "max-staleness", ms });
export const jtis = (...texts: string[]) => texts as Jti[];
export const many = (prefix: string, count: number) =>
  Array.from({ length: count }, (_, index) => `${prefix}-${index}`);
export const verdictsOf = async (answer: Promise<CheckAnswer>) => (await answer).verdicts;

/** Checks by an index that has not been loaded, on a fake clock and a held store. */
export class IndexedChecksStage {
  readonly #stage: FollowerStage;
  readonly clock: FollowerStage["clock"];
  readonly store: FollowerStage["store"];
  readonly follower: FollowerStage["follower"];
  readonly checks: IndexedChecks;

  constructor(options: { readonly maxEntries?: number } = {}) {
    this.#stage = new FollowerStage(options);
    const { clock, clockBounds, store, acknowledged, follower } = this.#stage;
    this.clock = clock;
    this.store = store;
    this.follower = follower;
    const fallback = new CoalescedChecks({ store, acknowledged, clock, leewayMs: LEEWAY });
    this.checks = new IndexedChecks({ follower, fallback, clockBounds, leewayMs: LEEWAY });
  }

  /** Loads the index, proves it once, and clears the record of reads. */
  async load(): Promise<void> {
    const { store, follower } = this;
    store.holding = false;
    follower.start();
    while (follower.phase === "loading") await turn();
    if (follower.phase === "following") await follower.databaseState();
    store.holding = true;
    for (const begun of [store.changes, store.scans, store.reads]) begun.splice(0);
  }

  async ask(freshness: Freshness, ...texts: string[]): Promise<CheckAnswer> {
    return this.checks.check(jtis(...texts), freshness, HERE);
  }

  check(...texts: string[]): Promise<CheckAnswer> {
    return this.ask(FRESH, ...texts);
  }

  /** The number of reads that have begun: of the index, and of checks without it. */
  begun(): { index: number; fallback: number } {
    return { index: this.store.changes.length, fallback: this.store.reads.length };
  }

  /** Completes the latest of `reads`, by default of the index. */
  async release(reads: readonly Held<unknown>[] = this.store.changes): Promise<void> {
    await settle();
    await reads.at(-1)?.release();
    await settle();
  }

  /** Completes all reads, and those that they cause. */
  async releaseAll(): Promise<void> {
    const all = () => [...this.store.scans, ...this.store.changes, ...this.store.reads];
    for (let before = -1; before !== all().length; ) {
      before = all().length;
      for (const held of all()) await held.release();
      await settle();
    }
  }

  /** Lets the latest of `reads` fail, by default of the index. */
  async fail(reads: readonly Held<unknown>[] = this.store.changes): Promise<void> {
    await settle();
    await reads.at(-1)?.fail(AWAY);
    await settle();
  }
}
