import { create, type DescMessage, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  type CallOptions,
  Client,
  type ClientDuplexStream,
  type ClientOptions,
  credentials,
  Metadata,
  type StatusObject,
  status,
} from "@grpc/grpc-js";
import type { StatusName } from "../../src/client/client-error.ts";

export interface RawAnswer {
  readonly code: StatusName;
  /** The message of the status. */
  readonly details: string;
  /** The trailers. */
  readonly metadata: Metadata;
  /** The response message, if any. */
  readonly bytes: Buffer | undefined;
}

export interface RawCall {
  readonly answer: Promise<RawAnswer>;
  cancel(): void;
}

export interface RawCallOptions {
  readonly timeoutMs?: number;
  /** Values of the `authorization` metadata. */
  readonly authorization?: readonly string[];
}

/** A gRPC connection that sends and returns bytes without parsing them. */
export class RawChannel {
  readonly grpc: Client;

  constructor(address: string, options: ClientOptions = {}, channel = credentials.createInsecure()) {
    this.grpc = new Client(address, channel, {
      // Channels of the shared pool would share one connection.
      "grpc.use_local_subchannel_pool": 1,
      "grpc.enable_http_proxy": 0,
      "grpc.enable_channelz": 0,
      "grpc.enable_retries": 0,
      ...options,
    });
  }

  /** Never rejects: every end of a call is a result. Without `timeoutMs` the call has no deadline. */
  begin(path: string, bytes: Uint8Array, { timeoutMs, authorization = [] }: RawCallOptions = {}): RawCall {
    let cancel = () => {};
    const answer = new Promise<RawAnswer>((resolve) => {
      let response: Buffer | undefined;
      const call = this.grpc.makeUnaryRequest<Buffer, Buffer>(
        path,
        asIs,
        asIs,
        Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength),
        withAuthorization(authorization),
        deadlineIn(timeoutMs),
        (_error, value) => {
          response = value;
        },
      );
      cancel = () => call.cancel();
      call.on("status", ({ code, details, metadata }: StatusObject) => {
        resolve({ code: status[code] as StatusName, details, metadata, bytes: response });
      });
    });
    return { answer, cancel };
  }

  call(path: string, bytes: Uint8Array, options?: RawCallOptions): Promise<RawAnswer> {
    return this.begin(path, bytes, options).answer;
  }

  /** Opens a stream in both directions. Without `timeoutMs` it has no deadline. */
  open(
    path: string,
    { timeoutMs, authorization = [] }: RawCallOptions = {},
  ): ClientDuplexStream<Buffer, Buffer> {
    return this.grpc.makeBidiStreamRequest(
      path,
      asIs,
      asIs,
      withAuthorization(authorization),
      deadlineIn(timeoutMs),
    );
  }

  close(): void {
    this.grpc.close();
  }
}

/** The path of one of our methods. */
export function methodPath(name: "Blacklist" | "IsBlacklisted" | "List" | "Prune"): string {
  return `/tokenblacklist.v1.TokenBlacklist/${name}`;
}

/** The bytes of a message. */
export function bytesOf<S extends DescMessage>(schema: S, init: MessageInitShape<S>): Uint8Array {
  return toBinary(schema, create(schema, init));
}

function withAuthorization(values: readonly string[]): Metadata {
  const metadata = new Metadata();
  for (const value of values) metadata.add("authorization", value);
  return metadata;
}

function deadlineIn(timeoutMs: number | undefined): CallOptions {
  return timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs };
}

function asIs(bytes: Buffer): Buffer {
  return bytes;
}
