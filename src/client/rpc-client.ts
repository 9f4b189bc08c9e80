import {
  create,
  type DescMessage,
  type DescMethodUnary,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import { Metadata, type ServiceError } from "@grpc/grpc-js";
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
import { DEFAULT_DEADLINE_MS } from "../limits.ts";
import { methodDefinition } from "../protobuf/service-definition.ts";
import { clampedToTimer } from "../time/clock.ts";
import { addMetadata, type CallMetadata } from "./call-metadata.ts";
import { type Channel, closeChannel, openChannel, SHORT_LIVED } from "./channel.ts";
import { aborted, ClientError, setAddress } from "./client-error.ts";
import { type ClientCredentials, clientCredentials } from "./credentials.ts";
import { clientError } from "./grpc-error.ts";
import { onAbort } from "./on-abort.ts";
import { rejectIllFormedText, validateResults, validateVerdicts } from "./validate-messages.ts";

export interface RpcOptions {
  /** Milliseconds to wait for the answer; 10 seconds if absent. More than 24 days, or Infinity, count as 24 days. */
  readonly timeoutMs?: number | undefined;
  /** Aborting it fails the call with CANCELLED. */
  readonly signal?: AbortSignal | undefined;
  /** Added to the call's metadata. */
  readonly metadata?: CallMetadata | undefined;
}

export type AttemptOptions = RpcOptions & { readonly timeoutMs: number };

type UnaryCall<I extends DescMessage, O extends DescMessage> = (
  init: MessageInitShape<I>,
  options?: RpcOptions,
) => Promise<MessageShape<O>>;

export interface RpcClientSetup {
  /** `host:port` of the service, or another target of grpc-js. */
  readonly address: string;
  /** Absent: neither TLS nor a caller's token. */
  readonly credentials?: ClientCredentials;
}

/**
 * An RPC client for a running service. It fails closed: a request with ill-formed text is rejected before it is sent, and an answer
 * of the wrong length or with an unknown value is a `ClientError`. It never retries.
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
export function createRpcClient({ address, credentials = clientCredentials() }: RpcClientSetup): RpcClient {
  // The client serves one command: it needs no keepalive, and no load balancing over replicas.
  return rpcClientOver(openChannel({ address, credentials, options: SHORT_LIVED }));
}

/** A client over an existing channel, which may be shared. */
export function rpcClientOver(channel: Channel): RpcClient {
  const { method } = TokenBlacklist;
  return {
    blacklist: unaryCall(channel, method.blacklist, validateResults),
    isBlacklisted: unaryCall(channel, method.isBlacklisted, validateVerdicts),
    list: unaryCall(channel, method.list),
    prune: unaryCall(channel, method.prune),
    close: () => closeChannel(channel),
  };
}

/** The request is serialized before it reaches grpc-js, see {@link encode}. */
const asIs = (bytes: Buffer) => bytes;

/** One method of the service as a function. It rejects only with a {@link ClientError}; `validate` throws a ClientError for a wrong answer. */
function unaryCall<I extends DescMessage, O extends DescMessage>(
  { grpc, address, authorization }: Channel,
  method: DescMethodUnary<I, O>,
  validate?: (request: MessageShape<I>, answer: MessageShape<O>) => void,
): UnaryCall<I, O> {
  const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
  return async (init, { timeoutMs = DEFAULT_DEADLINE_MS, signal, metadata: given } = {}) => {
    const request = create(method.input, init);
    rejectIllFormedText(method.input, request);
    const bytes = encode(() => requestSerialize(request));
    const waitMs = clampedToTimer(timeoutMs);
    const deadline = Date.now() + waitMs;
    const metadata =
      authorization === undefined ? new Metadata() : await authorization({ timeoutMs: waitMs, signal });
    if (given !== undefined) addMetadata(metadata, given);
    if (signal?.aborted) throw aborted("call");
    const answer = await new Promise<MessageShape<O>>((resolve, reject) => {
      const end = (error: ServiceError | null, message?: MessageShape<O>) => {
        unlisten();
        if (error) reject(setAddress(clientError(error), address));
        else resolve(message as MessageShape<O>);
      };
      const call = grpc.makeUnaryRequest(path, asIs, responseDeserialize, bytes, metadata, { deadline }, end);
      const unlisten = onAbort(signal, () => call.cancel());
    });
    validate?.(request, answer);
    return answer;
  };
}

/** Values out of protobuf's range fail here with INVALID_ARGUMENT; within grpc-js they would become INTERNAL. */
function encode(serialize: () => Buffer): Buffer {
  try {
    return serialize();
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : "the request cannot be encoded";
    throw new ClientError("INVALID_ARGUMENT", message, { reason: "INVALID_REQUEST", cause });
  }
}
