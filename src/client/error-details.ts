import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { fromBinary } from "@bufbuild/protobuf";
import { type Any, anyUnpack, type Duration, durationMs } from "@bufbuild/protobuf/wkt";
import { type ServiceError, status } from "@grpc/grpc-js";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import { type Status, StatusSchema } from "../../gen/google/rpc/status_pb.js";
import { ClientError, malformedAnswer, type StatusName } from "./client-error.ts";
import { connectionFailure, failureMessage } from "./connection-failure.ts";

/** The longest retry delay that a client accepts from the service, since a longer one would switch the client off. */
export const MAX_RETRY_AFTER_MS = 10 * 60_000;

const DOMAIN = "tokenblacklist";

/**
 * Converts an error of grpc-js, with the details sent by the service. Unreadable details count as absent. Only a message of the
 * service is kept as the message: one of grpc-js or a proxy may name addresses, and becomes the error's `detail`.
 */
export function clientError(error: ServiceError): ClientError {
  const [bytes] = error.metadata?.get("grpc-status-details-bin") ?? [];
  const sent = Buffer.isBuffer(bytes) ? readStatus(bytes) : undefined;
  return detailed(error.code, error.details || error.message, { details: sent?.details ?? [], cause: error });
}

/** Converts an encoded `google.rpc.Status`. */
export function statusError(bytes: Uint8Array): ClientError {
  const sent = readStatus(bytes);
  // Without a code it is unknown whether a retry may help.
  if (sent === undefined || sent.code === status.OK)
    return malformedAnswer("the service gave no reason for no answer");
  return detailed(sent.code, sent.message, { details: sent.details });
}

function detailed(
  number: number,
  text: string,
  { details, cause }: { readonly details: readonly Any[]; readonly cause?: unknown },
): ClientError {
  const info = unpack(details, ErrorInfoSchema).find(({ domain }) => domain === DOMAIN);
  const [retry] = unpack(details, RetryInfoSchema);
  const code = (status[number] ?? "UNKNOWN") as StatusName;
  const connection = info === undefined ? connectionFailure(code, text) : undefined;
  return new ClientError(code, info === undefined ? failureMessage(code, connection) : text, {
    reason: info?.reason,
    connection,
    detail: info === undefined ? text : undefined,
    violations: unpack(details, BadRequestSchema)
      .flatMap(({ fieldViolations }) => fieldViolations)
      .map(({ field, description, reason }) => ({
        field,
        description,
        ...(reason === "" ? {} : { reason }),
      })),
    retryAfterMs: retry?.retryDelay && pauseOf(retry.retryDelay),
    cause,
  });
}

/** Clamped between 0 and the longest time that a client waits. */
function pauseOf(delay: Duration): number {
  return Math.min(Math.max(0, durationMs(delay)), MAX_RETRY_AFTER_MS);
}

function readStatus(bytes: Uint8Array): Status | undefined {
  return tolerant(() => fromBinary(StatusSchema, bytes));
}

function unpack<S extends DescMessage>(details: readonly Any[], schema: S): MessageShape<S>[] {
  return details.flatMap((detail) => tolerant(() => anyUnpack(detail, schema)) ?? []);
}

// A proxy may add or garble details; the status itself stays valid.
function tolerant<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
