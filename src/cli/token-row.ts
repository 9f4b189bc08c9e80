import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import type { BlacklistedToken } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";

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

const UNITS = [
  { unit: "y", ms: 365 * 86_400_000, atLeast: 2 * 365 * 86_400_000 },
  { unit: "d", ms: 86_400_000, atLeast: 2 * 86_400_000 },
  { unit: "h", ms: 3_600_000, atLeast: 2 * 3_600_000 },
  { unit: "m", ms: 60_000, atLeast: 2 * 60_000 },
  { unit: "s", ms: 1000, atLeast: 0 },
] as const;

/** RFC 3339 in UTC with milliseconds; null if the time is unknown. */
function rfc3339(time: Timestamp | undefined): string | null {
  return time === undefined ? null : new Date(timestampMs(time)).toISOString();
}

/** For people: the time to the second, and its distance from `now`. */
export function timeWithDistance(time: string | null, now: number): string {
  if (time === null) return "unknown";
  return `${time.replace(/\.\d+Z$/, "Z")} (${distance(Date.parse(time) - now)})`;
}

function distance(ms: number): string {
  const size = Math.abs(ms);
  const { unit, ms: one } = UNITS.find(({ atLeast }) => size >= atLeast) ?? UNITS[4];
  const amount = `${Math.floor(size / one)}${unit}`;
  return ms >= 0 ? `in ${amount}` : `${amount} ago`;
}
