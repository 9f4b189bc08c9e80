import type { EpochMs, Jti } from "./entry.ts";

/** What a caller may be allowed to do: IsBlacklisted; Blacklist; List; Prune. Also the scopes of a token that allow it. */
export const ROLES = ["check", "revoke", "list", "prune"] as const;
export type Role = (typeof ROLES)[number];

/** Who calls, once that has been proven. */
export interface Principal {
  /** The token's subject or the certificate's name, at most 255 bytes; empty where callers are not authenticated. */
  readonly name: string;
  readonly roles: ReadonlySet<Role>;
  /** The jti of the caller's own token, if it has one: once that is blacklisted, the caller is refused. */
  readonly jti?: Jti;
  /** When the token or the certificate expires by which the caller is known. */
  readonly expiresAt?: EpochMs;
}

/** Every caller, where the service is not asked to tell them apart. */
export const ANYBODY: Principal = { name: "", roles: new Set(ROLES) };

/** Before it is known who calls, and where it stays unknown. */
export const NOBODY: Principal = { name: "", roles: new Set() };
