import { create } from "@bufbuild/protobuf";
import type { MethodDefinition } from "@grpc/grpc-js";
import {
  type IsBlacklistedRequest,
  type StreamChecksRequest,
  StreamChecksRequestSchema,
  TokenBlacklist,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { MAX_BATCH, MAX_JTI_BYTES, MAX_QUESTION_BYTES } from "../limits.ts";
import { MALFORMED, methodDefinition } from "./service-definition.ts";

/**
 * `StreamChecks`, as grpc-js wants it. Of a message that is too large for a question it keeps what is needed to say so: in a stream that is not
 * read any further, grpc-js holds sixteen of them ready.
 */
export function checkDefinition(): MethodDefinition<object, object> {
  const definition = methodDefinition(TokenBlacklist.method.streamChecks);
  return {
    ...definition,
    requestDeserialize: (bytes) => {
      const request = definition.requestDeserialize(bytes);
      const isKept = bytes.length <= MAX_QUESTION_BYTES || (request as unknown) === MALFORMED;
      return isKept ? request : cutShort(request as StreamChecksRequest);
    },
  };
}

function cutShort({ id, question, timeout }: StreamChecksRequest): StreamChecksRequest {
  const rest = timeout === undefined ? { id } : { id, timeout };
  if (question === undefined) return create(StreamChecksRequestSchema, rest);
  const jtis = question.jtis.slice(0, MAX_BATCH + 1).map(beginning);
  return create(StreamChecksRequestSchema, {
    ...rest,
    question: { jtis, freshness: cutFreshness(question.freshness) },
  });
}

function cutFreshness(freshness: IsBlacklistedRequest["freshness"]): IsBlacklistedRequest["freshness"] {
  if (freshness.case !== "atLeastRevision") return freshness;
  return { case: freshness.case, value: beginning(freshness.value) };
}

/** Too long as well, if the text is too long. A copy: a part of a string would keep the whole of it. */
function beginning(text: string): string {
  if (text.length <= MAX_JTI_BYTES) return text;
  return Buffer.from(text.slice(0, MAX_JTI_BYTES + 1)).toString();
}
