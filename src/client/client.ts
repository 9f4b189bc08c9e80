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
import { checkResults, checkVerdicts } from "./answer-checks.ts";
import { BRIEF, type Channel, closeChannel, openChannel } from "./channel.ts";
import { type ClientCredentials, clientCredentials } from "./credentials.ts";
import { type UnaryCall, unaryCall } from "./unary-call.ts";

export interface ClientSetup {
  /** `host:port` of the service, or another target that grpc-js knows. */
  readonly address: string;
  /** Neither TLS nor a caller's token unless given. */
  readonly credentials?: ClientCredentials;
}

/**
 * Calls a running service. It fails closed: a request with ill-formed text is refused before it is sent, and an
 * answer of the wrong length or with a value of no meaning is a `ClientError` like any other. Nothing is repeated:
 * whoever calls decides on that.
 */
export interface TokenBlacklistClient {
  readonly blacklist: UnaryCall<typeof BlacklistRequestSchema, typeof BlacklistResponseSchema>;
  /** One verdict per jti, each NOT_BLACKLISTED, BLACKLISTED or UNKNOWN. Only the first lets a token pass. */
  readonly isBlacklisted: UnaryCall<typeof IsBlacklistedRequestSchema, typeof IsBlacklistedResponseSchema>;
  readonly list: UnaryCall<typeof ListRequestSchema, typeof ListResponseSchema>;
  readonly prune: UnaryCall<typeof PruneRequestSchema, typeof PruneResponseSchema>;
  /** Lets go of the connection. Calls under way still end. */
  close(): void;
}

/** Connects with the first call, not before. Throws a `ClientError` where `credentials` must not be used at `address`. */
export function createClient({
  address,
  credentials = clientCredentials(),
}: ClientSetup): TokenBlacklistClient {
  return clientOver(openChannel({ address, credentials, options: BRIEF }));
}

/** The same over connections that others may use, too. */
export function clientOver({ grpc, address, authorization }: Channel): TokenBlacklistClient {
  const { method } = TokenBlacklist;
  const common = { grpc, address, authorization };
  return {
    blacklist: unaryCall({ ...common, method: method.blacklist, check: checkResults }),
    isBlacklisted: unaryCall({ ...common, method: method.isBlacklisted, check: checkVerdicts }),
    list: unaryCall({ ...common, method: method.list }),
    prune: unaryCall({ ...common, method: method.prune }),
    close: () => closeChannel({ grpc }),
  };
}
