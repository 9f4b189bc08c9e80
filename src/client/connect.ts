import { systemClock } from "../time/clock.ts";
import type { BlacklistClient } from "./blacklist-client.ts";
import type { ConnectOptions } from "./connect-options.ts";
import type { LocalCopySetup } from "./local-copy/local-copy.ts";
import { WatchedCopy } from "./local-copy/watched-copy.ts";
import { openClient } from "./open-client.ts";

export type * from "./blacklist-client.ts";
export type { CallMetadata, MetadataProvider } from "./call-metadata.ts";
export type { ConnectionFailure } from "./client-error.ts";
export { ClientError, type StatusName } from "./client-error.ts";
export type { ClientState } from "./client-state.ts";
export type { ConnectOptions, Mode } from "./connect-options.ts";
export { type ClientCredentials, type CredentialsSetup, clientCredentials, type Tls } from "./credentials.ts";
export type { AnswerSource, ClientLog, ClientMetrics } from "./telemetry.ts";
export type { OnUnavailable } from "./unavailable-policy.ts";

/**
 * Connects to the service and stays connected until the client is closed: create one client and share it. Throws a `ClientError`
 * for invalid options, and if `credentials` must not be sent to `address`. An unavailable service is not an error here: see
 * `state`.
 */
export function connect(options: ConnectOptions): BlacklistClient {
  const localCopy = options?.mode === "local" ? (setup: LocalCopySetup) => new WatchedCopy(setup) : undefined;
  return openClient({ options, clock: systemClock, random: Math.random, localCopy });
}
