import type { EpochMs } from "./entry.ts";
import type { TokenIdentity } from "./token-identity.ts";

/** The roles of callers, for IsBlacklisted, Blacklist, List and Prune. Also the scopes of a token that grant them. */
export const ROLES = ["check", "revoke", "list", "prune"] as const;
export type Role = (typeof ROLES)[number];

/** An authenticated caller. */
export interface Principal {
  /** The token's subject or the certificate's name, at most 255 bytes; empty if callers are not authenticated. */
  readonly name: string;
  readonly roles: ReadonlySet<Role>;
  /** Identifies the caller's own token, if it can be blacklisted. Once it is, the caller is refused. */
  readonly token?: TokenIdentity;
  /** When the caller's token or certificate expires. */
  readonly expiresAt?: EpochMs;
}

/** Every caller, if authentication is off. */
export const UNRESTRICTED_PRINCIPAL: Principal = { name: "", roles: new Set(ROLES) };

/** A caller that has not been authenticated. */
export const UNAUTHENTICATED_PRINCIPAL: Principal = { name: "", roles: new Set() };
