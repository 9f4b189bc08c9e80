import { readFileSync } from "node:fs";
import {
  MAX_ADMIN_CONNECTIONS,
  MAX_AUTHZ_CONNECTIONS,
  MAX_GRPC_CONNECTIONS,
  MAX_UNAUTHENTICATED_CONNECTIONS,
  READY_MS,
  RESERVED_DESCRIPTORS,
  UNUSED_CONNECTION_MS,
} from "./limits.ts";

/** What the connections of one listener may take. */
export interface ConnectionLimits {
  readonly total: number;
  /** For one remote address. */
  readonly perAddress: number;
  /** On which no caller is known. */
  readonly unauthenticated: number;
  /** How long a peer may take before a first call can be made, in milliseconds. */
  readonly readyMs: number;
  /** How long a connection may rest on which no caller is known, in milliseconds. */
  readonly unusedMs: number;
}

export interface ListenerShares {
  readonly grpc: ConnectionLimits;
  readonly authz: ConnectionLimits;
  readonly admin: ConnectionLimits;
  /** Whether MAX_CONNECTIONS is more than the process has descriptors for. */
  readonly isShort: boolean;
}

interface Wanted {
  /** What an operator wants for gRPC; undefined: as many as there are descriptors for, within reason. */
  readonly total: number | undefined;
  readonly perAddress: number | undefined;
  /** Whether AUTHZ_ADDRESS is answered. */
  readonly authz: boolean;
}

/** Distributes the descriptors that the process may have over its listeners. `descriptors` is infinite where it is not known. */
export function shareDescriptors(descriptors: number, { total, perAddress, authz }: Wanted): ListenerShares {
  const available = Math.max(LEAST_CONNECTIONS, descriptors - RESERVED_DESCRIPTORS - MAX_ADMIN_CONNECTIONS);
  const forAuthz = authz ? Math.min(MAX_AUTHZ_CONNECTIONS, Math.floor(available / 4)) : 0;
  const possible = available - forAuthz;
  const most = Math.min(total ?? MAX_GRPC_CONNECTIONS, possible);
  return {
    grpc: {
      total: most,
      perAddress: Math.min(perAddress ?? Math.ceil(most / 2), most),
      unauthenticated: Math.min(MAX_UNAUTHENTICATED_CONNECTIONS, most),
      readyMs: READY_MS,
      unusedMs: UNUSED_CONNECTION_MS,
    },
    authz: httpLimits(forAuthz),
    admin: httpLimits(MAX_ADMIN_CONNECTIONS),
    isShort: total !== undefined && total > possible,
  };
}

/** With fewer nothing can be served. */
const LEAST_CONNECTIONS = 16;

/** Of a listener whose callers are not known, and whose server keeps the times. */
function httpLimits(total: number): ConnectionLimits {
  const never = Number.POSITIVE_INFINITY;
  return { total, perAddress: total, unauthenticated: total, readyMs: never, unusedMs: never };
}

/**
 * How many descriptors this process may have open. Node.js raises the soft limit to the hard one when it starts. Infinite where the system does
 * not tell it in a file.
 */
export function descriptorLimit(): number {
  try {
    const [, soft] = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8")) ?? [];
    return soft === undefined ? Number.POSITIVE_INFINITY : Number(soft);
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
