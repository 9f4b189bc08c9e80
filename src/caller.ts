import type { Principal } from "./principal.ts";

/** What the domain needs to know of whoever is waiting for an answer. */
export interface Caller {
  /** True once nobody waits any more (deadline, cancel, disconnect): work not yet begun for it may be dropped. */
  readonly gone: boolean;
  /** Who it is; absent where nobody asked. */
  readonly principal?: Principal;
}

/** A caller who has been let in. */
export interface KnownCaller extends Caller {
  readonly principal: Principal;
}
