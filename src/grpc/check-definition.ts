import { create } from "@bufbuild/protobuf";
import type { MethodDefinition } from "@grpc/grpc-js";
import {
  IsBlacklistedRequestSchema,
  type StreamChecksRequest,
  StreamChecksRequestSchema,
  TokenBlacklist,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { MAX_SMALL_REQUEST_BYTES } from "../limits.ts";
import { MALFORMED, methodDefinition } from "../protobuf/service-definition.ts";

/** Stands for a question that is too large, whose content is discarded. */
export const TOO_LARGE_CHECK = create(IsBlacklistedRequestSchema);

/**
 * `StreamChecks` as grpc-js expects it. Of an oversized question, only what the error response needs is kept, since grpc-js buffers up to
 * sixteen messages of a stream that is not being read.
 */
export function checkDefinition(): MethodDefinition<object, object> {
  const definition = methodDefinition(TokenBlacklist.method.streamChecks);
  return {
    ...definition,
    requestDeserialize: (bytes) => {
      const request = definition.requestDeserialize(bytes);
      const isKept = bytes.length <= MAX_SMALL_REQUEST_BYTES || (request as unknown) === MALFORMED;
      return isKept ? request : withoutQuestion(request as StreamChecksRequest);
    },
  };
}

function withoutQuestion({ id, timeout }: StreamChecksRequest): StreamChecksRequest {
  const request = create(StreamChecksRequestSchema, timeout === undefined ? { id } : { id, timeout });
  request.question = TOO_LARGE_CHECK;
  return request;
}
