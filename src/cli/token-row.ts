import type { BlacklistedToken } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { rfc3339 } from "./time-text.ts";

/** An entry as printed in JSON: the names of the contract, times in RFC 3339, null for unknown values. */
export interface TokenRow {
  readonly jti: string;
  readonly expires_at: string | null;
  readonly created_at: string | null;
  readonly reason: string;
  readonly revoked_by: string;
}

export function tokenRow({ jti, expiresAt, createdAt, reason, revokedBy }: BlacklistedToken): TokenRow {
  return {
    jti,
    expires_at: rfc3339(expiresAt),
    created_at: rfc3339(createdAt),
    reason,
    revoked_by: revokedBy,
  };
}
