import { type ChannelOptions, Client } from "@grpc/grpc-js";
import { formatHostPort, type HostPort, parseHostPort } from "../host-port.ts";
import { KEEPALIVE_MS, KEEPALIVE_TIMEOUT_MS, MAX_RECONNECT_MS, RECONNECT_MS } from "../limits.ts";
import { addressProblem } from "./address.ts";
import type { Authorization } from "./authorization.ts";
import { invalid } from "./check-options.ts";
import { ClientError } from "./client-error.ts";
import type { ClientCredentials } from "./credentials.ts";

/** Connections to the service, and what joins each call. */
export interface Channel {
  readonly grpc: Client;
  /** What was given for {@link ChannelSetup.address}; several are joined by `, `. */
  readonly address: string;
  readonly authorization: Authorization | undefined;
}

/** For a caller that soon ends, such as a command. */
export const BRIEF: ChannelOptions = {
  // The service is an internal one: an http_proxy meant for the web must not swallow its calls.
  "grpc.enable_http_proxy": 0,
  "grpc.enable_channelz": 0,
};

/** For one that runs for months beside several replicas, each of which may go away and come back. */
export const LASTING: ChannelOptions = {
  ...BRIEF,
  // A client begins afresh, also where another one of the process has just failed to connect to the same address and waits before it tries again.
  "grpc.use_local_subchannel_pool": 1,
  // What is repeated is decided here, by each caller's deadline.
  "grpc.enable_retries": 0,
  "grpc.service_config": JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] }),
  "grpc.service_config_disable_resolution": 1,
  "grpc.initial_reconnect_backoff_ms": RECONNECT_MS,
  "grpc.max_reconnect_backoff_ms": MAX_RECONNECT_MS,
  "grpc.dns_min_time_between_resolutions_ms": MAX_RECONNECT_MS,
  // A gateway that has been idle must not find a dead connection when the next request comes.
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

/** Connections to what `address` names. Throws a {@link ClientError} where it cannot be used, or `credentials` must not be used there. */
export function openChannel({ address, credentials, options }: ChannelSetup): Channel {
  const addresses = Array.isArray(address) ? [...address] : [address];
  for (const one of addresses) {
    const problem = addressProblem(one);
    if (problem !== undefined) throw invalid("address", problem);
  }
  // Every one of them gets the caller's token.
  const authorizations = addresses.map((one) => credentials.authorization(one));
  const grpc = new Client(targetOf(addresses), credentials.channel, options);
  return { grpc, address: addresses.join(", "), authorization: authorizations[0] };
}

/**
 * Lets go of all connections. A channel of grpc-js that is closed in the turn in which it was opened is told its addresses after that,
 * connects all the same, and stays connected for ever: so it is closed once more.
 */
export function closeChannel({ grpc }: Pick<Channel, "grpc">): void {
  grpc.close();
  setImmediate(() => grpc.close());
}

/** What grpc-js understands: it takes several addresses as numbers of one family alone. */
function targetOf(addresses: readonly string[]): string {
  const [first] = addresses;
  if (first === undefined) throw unusable("there is no address to connect to");
  if (addresses.length === 1) return first;
  const parsed = addresses.map(parse);
  const list = parsed.map(formatHostPort).join(",");
  if (parsed.every(({ host }) => /^[\d.]+$/.test(host))) return `ipv4:${list}`;
  if (parsed.every(({ host }) => host.includes(":"))) return `ipv6:${list}`;
  throw unusable(
    "several addresses must all be IPv4 or all be IPv6, such as 10.0.0.7:50051; for names, give one with several records: dns:///name:port",
  );
}

function parse(address: string): HostPort {
  try {
    return parseHostPort(address);
  } catch (cause) {
    throw unusable(`each of several addresses ${(cause as Error).message}`);
  }
}

function unusable(message: string): ClientError {
  return new ClientError("INVALID_ARGUMENT", message, { reason: "INVALID_REQUEST" });
}
