import { create, type DescMessage, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { type Any, anyPack, durationFromMs } from "@bufbuild/protobuf/wkt";
import { Metadata, type StatusObject, status } from "@grpc/grpc-js";
import {
  type BadRequest_FieldViolationSchema,
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
} from "../../gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "../../gen/google/rpc/status_pb.js";
import { type Reason, ServiceError, type Violation } from "../errors.ts";

/** `google.rpc.ErrorInfo.domain` of every error of this service. */
const DOMAIN = "tokenblacklist";

/** Maps each reason to its gRPC code and, where a retry can soon succeed, to the time to wait before the retry. */
const STATUSES: Record<Reason, { code: status; retryAfterMs?: number }> = {
  INVALID_REQUEST: { code: status.INVALID_ARGUMENT },
  UNAUTHENTICATED: { code: status.UNAUTHENTICATED },
  PERMISSION_DENIED: { code: status.PERMISSION_DENIED },
  KEYS_UNAVAILABLE: { code: status.UNAVAILABLE, retryAfterMs: 1000 },
  STORE_UNAVAILABLE: { code: status.UNAVAILABLE, retryAfterMs: 500 },
  NOT_FRESH: { code: status.UNAVAILABLE, retryAfterMs: 500 },
  // Another replica can take the call at once.
  DRAINING: { code: status.UNAVAILABLE, retryAfterMs: 50 },
  REVISION_LOST: { code: status.FAILED_PRECONDITION },
  // Only used if the error itself does not have the time that the caller's quota requires.
  QUOTA_EXCEEDED: { code: status.RESOURCE_EXHAUSTED, retryAfterMs: 1000 },
  OVERLOADED: { code: status.RESOURCE_EXHAUSTED, retryAfterMs: 250 },
  // Compressed requests are refused: a bound on their bytes would not bound what they decompress to.
  UNSUPPORTED_ENCODING: { code: status.UNIMPLEMENTED },
  DEADLINE_EXCEEDED: { code: status.DEADLINE_EXCEEDED },
  CANCELLED: { code: status.CANCELLED },
  INTERNAL: { code: status.INTERNAL },
};

/**
 * Maximum bytes of field violations in one response. They travel in trailers, and clients reject trailers above 8 KiB. Beyond the maximum,
 * a last violation states how many were omitted.
 */
const MAX_VIOLATION_BYTES = 4096;

/** The error that callers may see: a ServiceError unchanged; for any other error, INTERNAL without details. */
export function presentable(error: unknown): ServiceError {
  return error instanceof ServiceError
    ? error
    : new ServiceError("INTERNAL", "internal error", { cause: error });
}

export function codeOf({ reason }: ServiceError): status {
  return STATUSES[reason].code;
}

/** The status of a failed call, with machine-readable details in `grpc-status-details-bin`. */
export function statusOf(error: ServiceError): StatusObject {
  const metadata = new Metadata();
  metadata.set("grpc-status-details-bin", encodedStatusOf(error));
  // gRPC prescribes that the response name the accepted encodings.
  if (error.reason === "UNSUPPORTED_ENCODING") metadata.set("grpc-accept-encoding", "identity");
  return { code: codeOf(error), details: error.message, metadata };
}

/** The status of a failed call, as an encoded `google.rpc.Status`. */
export function encodedStatusOf(error: ServiceError): Buffer {
  const { code, retryAfterMs: defaultMs } = STATUSES[error.reason];
  const retryAfterMs = error.retryAfterMs ?? defaultMs;
  const details = [packed(ErrorInfoSchema, { reason: error.reason, domain: DOMAIN })];
  if (error.reason === "INVALID_REQUEST")
    details.push(packed(BadRequestSchema, { fieldViolations: bounded(error.violations) }));
  if (retryAfterMs !== undefined)
    details.push(packed(RetryInfoSchema, { retryDelay: durationFromMs(retryAfterMs) }));
  return Buffer.from(toBinary(StatusSchema, create(StatusSchema, { code, message: error.message, details })));
}

function packed<D extends DescMessage>(schema: D, init: MessageInitShape<D>): Any {
  return anyPack(schema, create(schema, init));
}

function bounded(
  violations: readonly Violation[],
): MessageInitShape<typeof BadRequest_FieldViolationSchema>[] {
  const kept: MessageInitShape<typeof BadRequest_FieldViolationSchema>[] = [];
  let bytes = 0;
  for (const { field, description, reason = "" } of violations) {
    // Ten bytes for tags and lengths.
    bytes += field.length + description.length + reason.length + 10;
    if (bytes > MAX_VIOLATION_BYTES) {
      kept.push({
        field: "",
        description: `${violations.length - kept.length} more violations are left out`,
      });
      break;
    }
    kept.push({ field, description, reason });
  }
  return kept;
}
