import {
  create,
  type DescMessage,
  type DescMethodUnary,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import { type Client, Metadata } from "@grpc/grpc-js";
import { DEFAULT_DEADLINE_MS } from "../limits.ts";
import { methodDefinition } from "../protobuf/service-definition.ts";
import { clampedToTimer } from "../time/clock.ts";
import type { Authorization } from "./authorization.ts";
import { type CallMetadata, join } from "./call-metadata.ts";
import { ClientError, locate } from "./client-error.ts";
import { clientError } from "./error-details.ts";
import { onAbort } from "./on-abort.ts";
import { rejectIllFormedText } from "./well-formed.ts";

export interface CallOptions {
  /** Milliseconds to wait for the answer; 10 seconds if absent. More than 24 days, or Infinity, count as 24 days. */
  readonly timeoutMs?: number | undefined;
  /** Aborting it fails the call with CANCELLED. */
  readonly signal?: AbortSignal | undefined;
  /** Added to the call's metadata. */
  readonly metadata?: CallMetadata | undefined;
}

export type UnaryCall<I extends DescMessage, O extends DescMessage> = (
  init: MessageInitShape<I>,
  options?: CallOptions,
) => Promise<MessageShape<O>>;

export interface UnaryCallSetup<I extends DescMessage, O extends DescMessage> {
  readonly grpc: Client;
  /** The address that errors carry. */
  readonly address: string;
  readonly method: DescMethodUnary<I, O>;
  readonly authorization?: Authorization | undefined;
  /** Throws if `answer` does not fit `request`. */
  readonly check?: (request: MessageShape<I>, answer: MessageShape<O>) => void;
}

/** One method of the service as a function. It rejects only with a {@link ClientError}. */
export function unaryCall<I extends DescMessage, O extends DescMessage>({
  grpc,
  address,
  method,
  authorization,
  check,
}: UnaryCallSetup<I, O>): UnaryCall<I, O> {
  const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
  return async (init, { timeoutMs = DEFAULT_DEADLINE_MS, signal, metadata: given } = {}) => {
    const request = create(method.input, init);
    rejectIllFormedText(method.input, request);
    const bytes = encode(() => requestSerialize(request));
    const waitMs = clampedToTimer(timeoutMs);
    const deadline = Date.now() + waitMs;
    const metadata =
      authorization === undefined ? new Metadata() : await authorization({ timeoutMs: waitMs, signal });
    if (given !== undefined) join(metadata, given);
    const answer = await send(grpc, bytes, {
      address,
      path,
      decode: responseDeserialize as (bytes: Buffer) => MessageShape<O>,
      metadata,
      signal,
      deadline,
    });
    check?.(request, answer);
    return answer;
  };
}

interface Sending<A> {
  readonly address: string;
  readonly path: string;
  readonly decode: (bytes: Buffer) => A;
  readonly metadata: Metadata;
  readonly signal: AbortSignal | undefined;
  readonly deadline: number;
}

function send<A>(
  grpc: Client,
  bytes: Buffer,
  { address, path, decode, metadata, signal, deadline }: Sending<A>,
): Promise<A> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(new ClientError("CANCELLED", "the call was given up before it was sent"));
      return;
    }
    const call = grpc.makeUnaryRequest(path, asIs, decode, bytes, metadata, { deadline }, (error, answer) => {
      unlisten();
      if (error) reject(locate(clientError(error), address));
      else resolve(answer as A);
    });
    const unlisten = onAbort(signal, () => call.cancel());
  });
}

// Values out of protobuf's range fail here with INVALID_ARGUMENT; within grpc-js they would become INTERNAL.
function encode(serialize: () => Buffer): Buffer {
  try {
    return serialize();
  } catch (cause) {
    throw invalid(cause instanceof Error ? cause.message : "the request cannot be encoded", { cause });
  }
}

function invalid(message: string, details: ConstructorParameters<typeof ClientError>[2]): ClientError {
  return new ClientError("INVALID_ARGUMENT", message, { reason: "INVALID_REQUEST", ...details });
}

function asIs(bytes: Buffer): Buffer {
  return bytes;
}
