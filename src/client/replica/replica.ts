import type { Client } from "@grpc/grpc-js";
import type { Clock } from "../../clock.ts";
import type { Authorization } from "../authorization.ts";
import type { ClientError } from "../client-error.ts";
import type { ClientLog } from "../client-log.ts";
import type { ClientMetrics } from "../client-metrics.ts";
import type { ClientState } from "../client-state.ts";

/** A copy of the blacklist in this process. */
export interface Replica {
  /**
   * true: blacklisted (needs no proof). false: not blacklisted, proven within `maxStalenessMs`. undefined: cannot say,
   * or `jti` is none. Without `maxStalenessMs` only positives are told. Never throws.
   */
  peek(jti: string, maxStalenessMs?: number): boolean | undefined;
  /** Whether the copy is known to reflect this revision (text as the service gave it). */
  reflects(revision: string): boolean;
  /**
   * Resolves once the copy is proven current as of a moment after this call (all who wait share one round trip and one
   * promise object); rejects with a ClientError when it cannot be.
   */
  prove(): Promise<void>;
  /** A negative that {@link prove} has just vouched for: look again synchronously in the continuation. */
  isBlacklisted(jti: string): boolean;
  readonly isComplete: boolean;
  /** While it stays the same, a jti that was not blacklisted still is not. */
  readonly version: number;
  close(): void;
}

export interface ReplicaSetup {
  readonly grpc: Client;
  readonly authorization: Authorization | undefined;
  readonly clock: Clock;
  /** With more than that there is no copy. */
  readonly maxEntries: number;
  /** 0 to 1, without 1. */
  readonly random: () => number;
  readonly log: Required<ClientLog>;
  readonly metrics: ClientMetrics;
  /** To be told of `loading`, `ready` and `unavailable`, and why; the client itself says `connecting` and `closed`. */
  readonly onState: (state: ClientState, error?: ClientError) => void;
}

export type ReplicaFactory = (setup: ReplicaSetup) => Replica;
