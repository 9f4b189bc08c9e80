import type { Caller } from "../caller.ts";
import type { EpochMs } from "../entry.ts";
import type { WriteResult } from "../store/store.ts";

/** Why a check goes to the database: there is no complete index, or the check names a revision that the index has not seen. */
export type Fallback = "no-index" | "unknown-revision";

/** The result of a read of the changes. `more`: the page was full, so more changes follow. `lost`: the database has lost commits. */
export type ReadEnd = "proven" | "more" | "read-only" | "lost" | "failed";

/** A request that shares a read or commit. */
export interface Participant {
  /** Absent for the database monitor and for streams of Watch. */
  readonly caller?: Caller | undefined;
}

/** Receives events of the domain for metrics. Methods must not throw, and must return quickly. */
export interface Observer {
  /** A commit has ended; `results` is undefined if it failed. */
  committed(commit: {
    participants: readonly Participant[];
    results: readonly WriteResult[] | undefined;
    milliseconds: number;
  }): void;
  /** A read of the changes has ended. */
  followed(read: { participants: readonly Participant[]; milliseconds: number; end: ReadEnd }): void;
  /** A read of entries by their keys has ended. */
  lookedUp(read: { participants: readonly Participant[]; milliseconds: number; succeeded: boolean }): void;
  /** A check goes to the database although an index is configured. */
  fellBack(because: Fallback): void;
  /** `count` entries have been deleted. */
  pruned(count: number): void;
  /** A scheduled prune has ended, at the time `at`. */
  pruneEnded(run: { at: EpochMs; succeeded: boolean }): void;
  /** A copy that had been following is sent a new snapshot. */
  startedOver(): void;
}
