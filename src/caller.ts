import type { Principal } from "./principal.ts";

/** What a call waits for: proof that the index is current, a commit, or a look-up in the database. */
export type Wait = "freshness" | "commit" | "look-up";

/** Receives the waits of a traced call. */
export interface CallTrace {
  /** The call begins to wait: once at a time, until the result arrives or the call ends. Must not throw, and must return quickly. */
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
