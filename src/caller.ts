import type { EpochMs } from "./entry.ts";
import type { TokenIdentity } from "./token-identity.ts";

/** The roles that permit checks (copies included), Blacklist, List and Prune. A token's scope grants the role of the same name. */
export const ROLES = ["check", "revoke", "list", "prune"] as const;
export type Role = (typeof ROLES)[number];

/** The identity of a caller, and its roles. */
export interface Principal {
  /** The token's subject or the certificate's name, at most 255 bytes; empty if callers are not authenticated. */
  readonly name: string;
  readonly roles: ReadonlySet<Role>;
  /** Identifies the caller's own token; absent if the token has no jti, or there is no token. Calls are refused once it is blacklisted. */
  readonly token?: TokenIdentity;
  /** When the caller's token or certificate expires; absent if callers are not authenticated. */
  readonly expiresAt?: EpochMs;
}

/** The principal of every caller if authentication is off. */
export const UNRESTRICTED_PRINCIPAL: Principal = { name: "", roles: new Set(ROLES) };

/** The principal of a caller that has not been authenticated. */
export const UNAUTHENTICATED_PRINCIPAL: Principal = { name: "", roles: new Set() };

/** What a call waits for: proof that the index is current, a commit, or a look-up in the database. */
export type Wait = "freshness" | "commit" | "look-up";

/** Receives the waits of a traced call. */
export interface CallTrace {
  /** The call begins to wait; one wait at a time, each until its result arrives or the call ends. Must not throw, and must return quickly. */
  waits(what: Wait): void;
}

/** The caller of an operation. */
export interface Caller {
  /** True after a deadline, a cancellation or a disconnect: work that has not begun may be dropped. */
  readonly isGone: boolean;
  /** Absent if the caller was not authenticated. */
  readonly principal?: Principal;
  /** Absent if the call is not traced. */
  readonly trace?: CallTrace | undefined;
}

/** A caller whose principal is known: that of its credential, or {@link UNRESTRICTED_PRINCIPAL} if authentication is off. */
export interface KnownCaller extends Caller {
  readonly principal: Principal;
}
