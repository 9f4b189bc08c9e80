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

/** Units of time in milliseconds. A distance is shown in the largest unit of which it has at least two. */
const UNITS = [
  ["y", 365 * 86_400_000],
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
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
  const [unit, unitMs] = UNITS.find(([, unitMs]) => size >= 2 * unitMs) ?? ["s", 1000];
  const amount = `${Math.floor(size / unitMs)}${unit}`;
  return ms >= 0 ? `in ${amount}` : `${amount} ago`;
}
