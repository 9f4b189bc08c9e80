import { readFileSync } from "node:fs";
import {
  MAX_ADMIN_CONNECTIONS,
  MAX_AUTHZ_CONNECTIONS,
  MAX_UNAUTHENTICATED_CONNECTIONS,
  READY_MS,
  UNUSED_CONNECTION_MS,
} from "../limits.ts";

/** Default of MAX_CONNECTIONS if there are enough file descriptors: a connection for each of MAX_WATCHES streams, and half as many more. */
const MAX_GRPC_CONNECTIONS = 15_000;
/**
 * File descriptors reserved for the process itself: about 25 when idle, connections to the database and to token issuers, and files that
 * are reloaded.
 */
const RESERVED_DESCRIPTORS = 128;

/** The minimum number of connections to distribute, even if there are too few file descriptors for them: with fewer the service is of no use. */
const MIN_CONNECTIONS = 16;

/** The bounds on the connections of one listener. */
export interface ConnectionLimits {
  readonly total: number;
  /** For one remote address. */
  readonly perAddress: number;
  /** Connections without an authenticated caller. */
  readonly unauthenticated: number;
  /** How long the setup of a connection (TLS and HTTP/2) may take, in milliseconds. */
  readonly readyMs: number;
  /** How long an unauthenticated connection may be idle, in milliseconds. */
  readonly unusedMs: number;
}

export interface ListenerShares {
  readonly grpc: ConnectionLimits;
  readonly authz: ConnectionLimits;
  readonly admin: ConnectionLimits;
  /** Whether the configured MAX_CONNECTIONS needs more file descriptors than the process may open. */
  readonly exceedsDescriptors: boolean;
}

interface Wanted {
  /** The configured total for gRPC; undefined: as many as there are file descriptors for, up to a default maximum. */
  readonly total: number | undefined;
  /** The configured maximum for one address; undefined: half of the total. */
  readonly perAddress: number | undefined;
  /** Whether the service listens on AUTHZ_ADDRESS. */
  readonly servesAuthz: boolean;
}

/** Distributes the file descriptors of the process over its listeners. `descriptors` is infinite if their number is unknown. */
export function shareDescriptors(
  descriptors: number,
  { total, perAddress, servesAuthz }: Wanted,
): ListenerShares {
  const available = Math.max(MIN_CONNECTIONS, descriptors - RESERVED_DESCRIPTORS - MAX_ADMIN_CONNECTIONS);
  const forAuthz = servesAuthz ? Math.min(MAX_AUTHZ_CONNECTIONS, Math.floor(available / 4)) : 0;
  const possible = available - forAuthz;
  const grpcTotal = Math.min(total ?? MAX_GRPC_CONNECTIONS, possible);
  return {
    grpc: {
      total: grpcTotal,
      perAddress: Math.min(perAddress ?? Math.ceil(grpcTotal / 2), grpcTotal),
      unauthenticated: Math.min(MAX_UNAUTHENTICATED_CONNECTIONS, grpcTotal),
      readyMs: READY_MS,
      unusedMs: UNUSED_CONNECTION_MS,
    },
    authz: httpLimits(forAuthz),
    admin: httpLimits(MAX_ADMIN_CONNECTIONS),
    exceedsDescriptors: total !== undefined && total > possible,
  };
}

/** The bounds of a listener for HTTP. Its server has time limits of its own, and all its connections count as unauthenticated. */
function httpLimits(total: number): ConnectionLimits {
  const never = Number.POSITIVE_INFINITY;
  return { total, perAddress: total, unauthenticated: total, readyMs: never, unusedMs: never };
}

/**
 * The maximum number of open file descriptors of this process. Node.js raises the soft limit to the hard limit when it starts. Infinite if
 * the system has no /proc/self/limits.
 */
export function descriptorLimit(): number {
  try {
    const [, soft] = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8")) ?? [];
    return soft === undefined ? Number.POSITIVE_INFINITY : Number(soft);
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
