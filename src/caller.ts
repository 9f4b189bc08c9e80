import type { Principal } from "./principal.ts";

/** What a call waits for: proof that the index is current, a commit, or the database's own answer. */
export type Wait = "freshness" | "commit" | "look-up";

/** Whoever traces a call is told of it here. Called in the middle of the work: it must not throw, and should take no time. */
export interface CallTrace {
  /** The call begins to wait. It waits for one thing at a time, until that has come or the call is over. */
  waits(what: Wait): void;
}

/** What the domain needs to know of whoever is waiting for an answer. */
export interface Caller {
  /** True once nobody waits any more (deadline, cancel, disconnect): work not yet begun for it may be dropped. */
  readonly gone: boolean;
  /** Who it is; absent where nobody asked. */
  readonly principal?: Principal;
  /** Absent where nobody traces the call. */
  readonly trace?: CallTrace | undefined;
}

/** A caller who has been let in. */
export interface KnownCaller extends Caller {
  readonly principal: Principal;
}
