import { type CallCredentials, type ChannelCredentials, credentials } from "@grpc/grpc-js";

/** How a client proves who it is and whom it talks to. */
export interface ClientCredentials {
  /** Protects the connection. */
  readonly channel: ChannelCredentials;
  /** Joins each call. Absent: callers are anonymous. grpc-js refuses it on a channel without TLS. */
  readonly call?: CallCredentials;
}

/** The one place that decides on TLS and on callers' tokens. For now: neither. */
export function clientCredentials(): ClientCredentials {
  return { channel: credentials.createInsecure() };
}
