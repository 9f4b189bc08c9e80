import { fromBinary } from "@bufbuild/protobuf";
import { type Any, anyUnpack, durationMs } from "@bufbuild/protobuf/wkt";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "../../gen/google/rpc/status_pb.js";
import type { RawAnswer } from "./raw-channel.ts";

/** The content of `grpc-status-details-bin`. */
export interface Details {
  readonly code: number;
  readonly message: string;
  readonly reason?: string;
  readonly domain?: string;
  readonly violations?: readonly (readonly [field: string, description: string, reason?: string])[];
  readonly retryAfterMs?: number | undefined;
}

/** The details of a failed call; undefined if there are none. Throws for an unknown kind of detail. */
export function detailsOf({ metadata }: Pick<RawAnswer, "metadata">): Details | undefined {
  const [bytes, ...more] = metadata.get("grpc-status-details-bin");
  if (more.length > 0) throw new Error("grpc-status-details-bin came twice");
  return bytes === undefined ? undefined : readDetails(bytes as Buffer);
}

export function readDetails(bytes: Buffer): Details {
  const { code, message, details } = fromBinary(StatusSchema, bytes);
  return Object.assign({ code, message }, ...details.map(readDetail));
}

function readDetail(detail: Any): Partial<Details> {
  const info = anyUnpack(detail, ErrorInfoSchema);
  if (info !== undefined) return { reason: info.reason, domain: info.domain };
  const bad = anyUnpack(detail, BadRequestSchema);
  if (bad !== undefined) {
    return {
      violations: bad.fieldViolations.map(({ field, description, reason }) =>
        reason === "" ? [field, description] : [field, description, reason],
      ),
    };
  }
  const retry = anyUnpack(detail, RetryInfoSchema);
  if (retry === undefined) throw new Error(`a detail of an unexpected type: ${detail.typeUrl}`);
  return { retryAfterMs: retry.retryDelay && durationMs(retry.retryDelay) };
}
