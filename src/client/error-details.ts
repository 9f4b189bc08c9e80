import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { fromBinary } from "@bufbuild/protobuf";
import { type Any, anyUnpack, durationMs } from "@bufbuild/protobuf/wkt";
import { type ServiceError, status } from "@grpc/grpc-js";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "../../gen/google/rpc/status_pb.js";
import { ClientError, type StatusName } from "./client-error.ts";

const DOMAIN = "tokenblacklist";

/** What grpc-js reports, with the details the service sent. Details that cannot be read count as absent. */
export function clientError(error: ServiceError): ClientError {
  const details = statusDetails(error);
  const info = unpack(details, ErrorInfoSchema).find(({ domain }) => domain === DOMAIN);
  const [retry] = unpack(details, RetryInfoSchema);
  return new ClientError((status[error.code] ?? "UNKNOWN") as StatusName, error.details || error.message, {
    reason: info?.reason,
    violations: unpack(details, BadRequestSchema)
      .flatMap(({ fieldViolations }) => fieldViolations)
      .map(({ field, description }) => ({ field, description })),
    retryAfterMs: retry?.retryDelay && durationMs(retry.retryDelay),
    cause: error,
  });
}

function statusDetails(error: ServiceError): readonly Any[] {
  const [bytes] = error.metadata?.get("grpc-status-details-bin") ?? [];
  if (!Buffer.isBuffer(bytes)) return [];
  return tolerant(() => fromBinary(StatusSchema, bytes).details) ?? [];
}

function unpack<S extends DescMessage>(details: readonly Any[], schema: S): MessageShape<S>[] {
  return details.flatMap((detail) => tolerant(() => anyUnpack(detail, schema)) ?? []);
}

// A proxy may add or garble details; the status itself stands whatever they hold.
function tolerant<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
