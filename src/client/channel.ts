import { type ChannelOptions, Client, connectivityState } from "@grpc/grpc-js";
import { formatHostPort, type HostPort, parseHostPort } from "../connections/host-port.ts";
import { addressProblem } from "./address.ts";
import type { Authorization } from "./authorization.ts";
import { ClientError } from "./client-error.ts";
import type { ClientCredentials } from "./credentials.ts";
import { invalidArgument } from "./option-problems.ts";

/** Minimum and maximum delay before a client reconnects: a restarted service is found well within a check's deadline. */
const RECONNECT_MS = 100;
const MAX_RECONNECT_MS = 2000;
/** Interval of keepalive pings on an idle connection, and how long a ping may be unanswered before the connection is closed. */
export const KEEPALIVE_MS = 5000;
export const KEEPALIVE_TIMEOUT_MS = 3000;

/** Connections to the service, and the authorization of each call. */
export interface Channel {
  readonly grpc: Client;
  /** The value of {@link ChannelSetup.address}; several are joined by `, `. */
  readonly address: string;
  readonly authorization: Authorization | undefined;
}

/** Channel options of a short-lived process, such as a command. */
export const SHORT_LIVED: ChannelOptions = {
  // The service is internal: an http_proxy meant for the web must not receive its calls.
  "grpc.enable_http_proxy": 0,
  "grpc.enable_channelz": 0,
};

/** Channel options of a process that runs for months and calls several replicas, each of which may fail and recover. */
export const LONG_LIVED: ChannelOptions = {
  ...SHORT_LIVED,
  // A new client connects at once, even if another client of the process is backing off from the same address.
  "grpc.use_local_subchannel_pool": 1,
  // Retries are decided by the client, within each caller's deadline.
  "grpc.enable_retries": 0,
  "grpc.service_config": JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] }),
  "grpc.service_config_disable_resolution": 1,
  "grpc.initial_reconnect_backoff_ms": RECONNECT_MS,
  "grpc.max_reconnect_backoff_ms": MAX_RECONNECT_MS,
  "grpc.dns_min_time_between_resolutions_ms": MAX_RECONNECT_MS,
  // Detects dead connections of an idle gateway before its next request.
  "grpc.keepalive_time_ms": KEEPALIVE_MS,
  "grpc.keepalive_timeout_ms": KEEPALIVE_TIMEOUT_MS,
  "grpc.keepalive_permit_without_calls": 1,
};

export interface ChannelSetup {
  /** A target of grpc-js, or several `host:port`. */
  readonly address: string | readonly string[];
  readonly credentials: ClientCredentials;
  readonly options: ChannelOptions;
}

/** Opens connections to `address`. Throws a {@link ClientError} if the address is invalid, or if `credentials` must not be sent to it. */
export function openChannel({ address, credentials, options }: ChannelSetup): Channel {
  const addresses = Array.isArray(address) ? [...address] : [address];
  for (const one of addresses) {
    const problem = addressProblem(one);
    if (problem !== undefined) throw invalidArgument("address", problem);
  }
  // Every address gets the same token of the caller, so the token must be allowed for every address.
  const authorizations = addresses.map((one) => credentials.authorization(one));
  const grpc = new Client(targetOf(addresses), credentials.channel, options);
  return { grpc, address: addresses.join(", "), authorization: authorizations[0] };
}

/**
 * Closes all connections. A grpc-js channel that is closed in the turn in which it was opened resolves its addresses afterwards,
 * connects nevertheless and stays connected for ever, so it is closed again.
 */
export function closeChannel({ grpc }: Pick<Channel, "grpc">): void {
  grpc.close();
  setImmediate(() => grpc.close());
}

/** The target for grpc-js, which accepts several addresses only as IP addresses of one family. */
function targetOf(addresses: readonly string[]): string {
  const [first] = addresses;
  if (first === undefined) throw addressError("there is no address to connect to");
  if (addresses.length === 1) return first;
  const parsed = addresses.map(parse);
  const list = parsed.map(formatHostPort).join(",");
  if (parsed.every(({ host }) => /^[\d.]+$/.test(host))) return `ipv4:${list}`;
  if (parsed.every(({ host }) => host.includes(":"))) return `ipv6:${list}`;
  throw addressError(
    "several addresses must all be IPv4 or all be IPv6, such as 10.0.0.7:50051; for names, give one with several records: dns:///name:port",
  );
}

function parse(address: string): HostPort {
  try {
    return parseHostPort(address);
  } catch (cause) {
    throw addressError(`each of several addresses ${(cause as Error).message}`);
  }
}

function addressError(message: string): ClientError {
  return new ClientError("INVALID_ARGUMENT", message, { reason: "INVALID_REQUEST" });
}

/** Keeps a connection open until the channel is closed, and reports when it is established or fails. Does not keep the process alive. */
export function watchConnection(grpc: Client, onChange: (isConnected: boolean) => void): void {
  const channel = grpc.getChannel();
  const { READY, TRANSIENT_FAILURE, SHUTDOWN } = connectivityState;
  const next = () => {
    // Requesting a connection would also reconnect a channel that has just been closed, and that connection would never be closed.
    if (channel.getConnectivityState(false) === SHUTDOWN) return;
    // grpc-js may have closed an idle connection; this call reconnects.
    const current = channel.getConnectivityState(true);
    if (current === READY || current === TRANSIENT_FAILURE) onChange(current === READY);
    channel.watchConnectivityState(current, Number.POSITIVE_INFINITY, next);
  };
  next();
}
