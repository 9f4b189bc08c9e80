import type { Principal } from "./principal.ts";

/** The causes of a call's wait: proof that the index is current, a commit, or a look-up in the database. */
export type Wait = "freshness" | "commit" | "look-up";

/** Receives the waits of a traced call. Called in the middle of the work, so its methods must not throw, and should return quickly. */
export interface CallTrace {
  /** The call begins to wait. It has one wait at a time, which lasts until the result arrives or the call ends. */
  waits(what: Wait): void;
}

/** The caller of an operation, as far as the domain needs to know it. */
export interface Caller {
  /** True once the result is no longer awaited (deadline, cancellation, disconnect). Work not yet begun for the caller may be dropped. */
  readonly isGone: boolean;
  /** Absent if the caller was not authenticated. */
  readonly principal?: Principal;
  /** Absent if the call is not traced. */
  readonly trace?: CallTrace | undefined;
}

/** A caller that has been admitted. */
export interface KnownCaller extends Caller {
  readonly principal: Principal;
}
