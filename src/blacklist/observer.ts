import type { EpochMs } from "../entry.ts";
import type { WriteResult } from "../store/store.ts";

/** Why a check went to the database: there was no complete index, or it named a revision that the index has not seen. */
export type Fallback = "no-index" | "unknown-revision";

/**
 * What a read of the changes came to: proof for all who waited; a full page, with more to follow; an answer of a read-only server; the
 * news that the database has lost commits; or nothing.
 */
export type ReadEnd = "proven" | "more" | "read-only" | "lost" | "failed";

/**
 * Whoever counts what the domain does is told of it here. Called in the middle of the work: it must not throw, and should take no time.
 */
export interface Observer {
  /** A commit has ended, which so many requests shared: what became of each entry in it; undefined where it failed. */
  committed(commit: {
    requests: number;
    results: readonly WriteResult[] | undefined;
    milliseconds: number;
  }): void;
  /** A read of the changes has ended, which so many waited for. */
  followed(read: { waiting: number; milliseconds: number; end: ReadEnd }): void;
  /** So many calls shared a read of the jtis themselves, well or not. */
  asked(read: { calls: number; milliseconds: number; succeeded: boolean }): void;
  /** A check goes to the database although there is an index. */
  fellBack(because: Fallback): void;
  /** So many entries have been deleted. */
  pruned(count: number): void;
  /** The schedule's own pruning has ended. */
  pruneEnded(run: { at: EpochMs; succeeded: boolean }): void;
  /** A copy that had been following is sent everything anew. */
  startedOver(): void;
}

/** Nobody counts. */
export const UNOBSERVED: Observer = {
  committed() {},
  followed() {},
  asked() {},
  fellBack() {},
  pruned() {},
  pruneEnded() {},
  startedOver() {},
};
