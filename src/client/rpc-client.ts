import {
  type BlacklistRequestSchema,
  type BlacklistResponseSchema,
  type IsBlacklistedRequestSchema,
  type IsBlacklistedResponseSchema,
  type ListRequestSchema,
  type ListResponseSchema,
  type PruneRequestSchema,
  type PruneResponseSchema,
  TokenBlacklist,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { BRIEF, type Channel, closeChannel, openChannel } from "./channel.ts";
import { type ClientCredentials, clientCredentials } from "./credentials.ts";
import { type UnaryCall, unaryCall } from "./unary-call.ts";
import { validateResults, validateVerdicts } from "./validate-response.ts";

export interface ClientSetup {
  /** `host:port` of the service, or another target of grpc-js. */
  readonly address: string;
  /** Absent: neither TLS nor a caller's token. */
  readonly credentials?: ClientCredentials;
}

/**
 * An RPC client for a running service. It fails closed: a request with ill-formed text is rejected before it is sent, and an answer
 * of the wrong length or with an unknown value is a `ClientError`. It does not retry: its callers do.
 */
export interface RpcClient {
  readonly blacklist: UnaryCall<typeof BlacklistRequestSchema, typeof BlacklistResponseSchema>;
  /** One verdict per jti: NOT_BLACKLISTED, BLACKLISTED or UNKNOWN. Only NOT_BLACKLISTED lets a token pass. */
  readonly isBlacklisted: UnaryCall<typeof IsBlacklistedRequestSchema, typeof IsBlacklistedResponseSchema>;
  readonly list: UnaryCall<typeof ListRequestSchema, typeof ListResponseSchema>;
  readonly prune: UnaryCall<typeof PruneRequestSchema, typeof PruneResponseSchema>;
  /** Closes the connection. Calls in flight still complete. */
  close(): void;
}

/** Connects at the first call. Throws a `ClientError` if `credentials` must not be sent to `address`. */
export function createRpcClient({ address, credentials = clientCredentials() }: ClientSetup): RpcClient {
  return rpcClientOver(openChannel({ address, credentials, options: BRIEF }));
}

/** A client over an existing channel, which may be shared. */
export function rpcClientOver({ grpc, address, authorization }: Channel): RpcClient {
  const { method } = TokenBlacklist;
  const common = { grpc, address, authorization };
  return {
    blacklist: unaryCall({ ...common, method: method.blacklist, check: validateResults }),
    isBlacklisted: unaryCall({ ...common, method: method.isBlacklisted, check: validateVerdicts }),
    list: unaryCall({ ...common, method: method.list }),
    prune: unaryCall({ ...common, method: method.prune }),
    close: () => closeChannel({ grpc }),
  };
}
