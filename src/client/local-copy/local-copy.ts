import type { Client } from "@grpc/grpc-js";
import type { Clock } from "../../time/clock.ts";
import type { Authorization } from "../authorization.ts";
import type { TokenInput } from "../checked-tokens.ts";
import type { ClientError } from "../client-error.ts";
import type { ClientState } from "../client-state.ts";
import type { ClientLog, ClientMetrics } from "../telemetry.ts";

/** A local copy of the blacklist in this process. */
export interface LocalCopy {
  /**
   * true: blacklisted (needs no proof). false: not blacklisted as of a proof at most `maxStalenessMs` old. undefined: unknown, or the token
   * is not valid. Without `maxStalenessMs` only positives are returned. Never throws.
   */
  peek(token: TokenInput, maxStalenessMs?: number): boolean | undefined;
  /** Whether the copy is known to reflect this revision (text from the service). */
  reflects(revision: string): boolean;
  /**
   * Resolves once the copy is proven current as of a time after this call; rejects with a ClientError if it cannot be proven. Several
   * requests may share one round trip, and then get the same promise object.
   */
  prove(): Promise<void>;
  /** Whether an entry blacklists the token now. Rely on `false` only in the continuation of {@link prove}, before any further `await`. */
  isBlacklisted(token: TokenInput): boolean;
  /** Whether the copy has received all entries, so that it can give negatives once they are proven. */
  readonly isComplete: boolean;
  /** While this number is unchanged, a token that was not blacklisted is still not blacklisted. */
  readonly version: number;
  close(): void;
}

export interface LocalCopySetup {
  readonly grpc: Client;
  readonly authorization: Authorization | undefined;
  readonly clock: Clock;
  /** With more entries than this, the copy is dropped. */
  readonly maxEntries: number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly log: Required<ClientLog>;
  readonly metrics: ClientMetrics;
  /** Called with `loading`, `ready` and `unavailable`, and the error; the client sets `connecting` and `closed` itself. */
  readonly onState: (state: ClientState, error?: ClientError) => void;
}

export type LocalCopyFactory = (setup: LocalCopySetup) => LocalCopy;
