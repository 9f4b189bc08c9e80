import { create } from "@bufbuild/protobuf";
import { Client, credentials, Metadata } from "@grpc/grpc-js";
import {
  TokenBlacklist,
  type WatchRequest,
  WatchRequestSchema,
  type WatchResponse,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { methodDefinition } from "../../src/protobuf/service-definition.ts";

/**
 * The round trip behind a fully fresh answer without the rest of the client: a `sync` on a stream, and its `synced`. Each call
 * resolves to "not there" for every jti.
 */
export function bareSyncs(port: number): () => Promise<false> {
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  const { path, requestSerialize, responseDeserialize } = methodDefinition(TokenBlacklist.method.watch);
  const stream = client.makeBidiStreamRequest(
    path,
    requestSerialize as (request: WatchRequest) => Buffer,
    responseDeserialize as (bytes: Buffer) => WatchResponse,
    new Metadata(),
  );
  const waiting = new Map<bigint, (answer: false) => void>();
  let last = 0n;
  stream.on("data", ({ response }: WatchResponse) => {
    if (response.case !== "synced") throw new Error(`the bare stream brought ${response.case}`);
    const { id } = response.value;
    waiting.get(id)?.(false);
    waiting.delete(id);
  });
  return () =>
    new Promise((resolve) => {
      const id = ++last;
      waiting.set(id, resolve);
      stream.write(create(WatchRequestSchema, { request: { case: "sync", value: { id } } }));
    });
}
