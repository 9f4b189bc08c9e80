import type { Caller } from "../caller.ts";
import type { EpochMs } from "../entry.ts";
import type { WriteResult } from "../store/store.ts";

/** Why a check went to the database: there was no complete index, or it named a revision that the index has not seen. */
export type Fallback = "no-index" | "unknown-revision";

/**
 * What a read of the changes came to: proof for all who waited; a full page, with more to follow; an answer of a read-only server; the
 * news that the database has lost commits; or nothing.
 */
export type ReadEnd = "proven" | "more" | "read-only" | "lost" | "failed";

/** One of those who share a read or a commit. Without a caller: the heartbeat, or the feed of copies. */
export interface Sharing {
  readonly caller?: Caller | undefined;
}

/**
 * Whoever counts what the domain does is told of it here. Called in the middle of the work: it must not throw, and should take no time.
 */
export interface Observer {
  /** A commit has ended, which these requests shared: what became of each entry in it; undefined where it failed. */
  committed(commit: {
    sharing: readonly Sharing[];
    results: readonly WriteResult[] | undefined;
    milliseconds: number;
  }): void;
  /** A read of the changes has ended, which these waited for. */
  followed(read: { sharing: readonly Sharing[]; milliseconds: number; end: ReadEnd }): void;
  /** These calls shared a read of the jtis themselves, well or not. */
  asked(read: { sharing: readonly Sharing[]; milliseconds: number; succeeded: boolean }): void;
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
