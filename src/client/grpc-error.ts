import { type DescMessage, fromBinary, type MessageShape } from "@bufbuild/protobuf";
import { type Any, anyUnpack, type Duration, durationMs } from "@bufbuild/protobuf/wkt";
import { type ServiceError, status } from "@grpc/grpc-js";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import { type Status, StatusSchema } from "../../gen/google/rpc/status_pb.js";
import {
  ClientError,
  type ConnectionFailure,
  ignoringErrors,
  malformedAnswer,
  type StatusName,
} from "./client-error.ts";

const DOMAIN = "tokenblacklist";
/** The longest retry delay that a client accepts from the service: during a longer delay the client would be of no use. */
export const MAX_RETRY_AFTER_MS = 10 * 60_000;

/**
 * Converts an error of grpc-js, with the details sent by the service. Unreadable details count as absent. Only the service's own text
 * becomes the error's message. The text of grpc-js or of a proxy may name addresses: it becomes the error's `detail`.
 */
export function clientError(error: ServiceError): ClientError {
  const [bytes] = error.metadata?.get("grpc-status-details-bin") ?? [];
  const sent = Buffer.isBuffer(bytes) ? readStatus(bytes) : undefined;
  return convert(error.code, error.details || error.message, { details: sent?.details ?? [], cause: error });
}

/** Converts an encoded `google.rpc.Status`. */
export function statusError(bytes: Uint8Array): ClientError {
  const sent = readStatus(bytes);
  // Without a code it is unknown whether a retry may help.
  if (sent === undefined || sent.code === status.OK)
    return malformedAnswer("the service sent an error without a code");
  return convert(sent.code, sent.message, { details: sent.details });
}

function convert(
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
    retryAfterMs: retry?.retryDelay && clampedDelay(retry.retryDelay),
    cause,
  });
}

/** Clamped between 0 and the longest time that a client waits. */
function clampedDelay(delay: Duration): number {
  return Math.min(Math.max(0, durationMs(delay)), MAX_RETRY_AFTER_MS);
}

function readStatus(bytes: Uint8Array): Status | undefined {
  return ignoringErrors(() => fromBinary(StatusSchema, bytes));
}

/** A proxy may add or garble details; the status itself stays valid. */
function unpack<S extends DescMessage>(details: readonly Any[], schema: S): MessageShape<S>[] {
  return details.flatMap((detail) => ignoringErrors(() => anyUnpack(detail, schema)) ?? []);
}

const BROKEN = /^Connection dropped|RST_STREAM|^Stream refused|HTTP\/2|ERR_HTTP2|ECONNRESET|EPIPE/;

/** Connection failures by patterns of error texts, because errors of grpc-js differ in nothing else. The first match applies. */
const PATTERNS: readonly (readonly [RegExp, ConnectionFailure])[] = [
  [/ECONNREFUSED|connect ENOENT/, "refused"],
  [/name resolution|ENOTFOUND|EAI_AGAIN|no addresses resolved/i, "unknown-host"],
  [/certificate|altnames/i, "certificate"],
  [/wrong version number|packet length too long/, "not-tls"],
  [/EHOSTUNREACH|ENETUNREACH|ENETDOWN|ETIMEDOUT|EADDRNOTAVAIL/, "unreachable"],
  [/Failed to connect|hang up|No connection established.*(ECONNRESET|EPIPE)/, "hung-up"],
  [BROKEN, "lost"],
];

/** The connection failure that `text`, the explanation of `code` by grpc-js or a proxy, describes; undefined if it describes none. */
export function connectionFailure(code: StatusName, text: string): ConnectionFailure | undefined {
  if (code === "UNAVAILABLE") return PATTERNS.find(([pattern]) => pattern.test(text))?.[1];
  return code === "INTERNAL" && text.startsWith("Received RST_STREAM") ? "lost" : undefined;
}

const UNREACHED = "the token blacklist cannot be reached";

const CONNECTION_MESSAGES: Readonly<Record<ConnectionFailure, string>> = {
  refused: `${UNREACHED}: nothing listens at its address`,
  "unknown-host": `${UNREACHED}: the host name in its address is not known`,
  unreachable: `${UNREACHED}: its address does not answer`,
  certificate: `${UNREACHED}: its certificate, or the client's, is not accepted`,
  "not-tls": `${UNREACHED}: the server at its address does not speak TLS`,
  "hung-up": `${UNREACHED}: the server at its address closes the connection`,
  lost: "the connection to the token blacklist was lost",
};

const CODE_MESSAGES: Partial<Record<StatusName, string>> = {
  UNAVAILABLE: UNREACHED,
  DEADLINE_EXCEEDED: "no answer from the token blacklist in time",
  CANCELLED: "the call was cancelled",
  UNIMPLEMENTED: "the server at the address of the token blacklist does not offer this call",
  UNAUTHENTICATED: "the token blacklist, or a proxy before it, does not accept the caller's credentials",
  PERMISSION_DENIED: "the token blacklist, or a proxy before it, does not allow this call",
  RESOURCE_EXHAUSTED: "the token blacklist, or a proxy before it, is overloaded or limits its callers",
};

/** A message that names neither address nor host, because gateways pass messages on to their own callers. */
function failureMessage(code: StatusName, connection: ConnectionFailure | undefined): string {
  if (connection !== undefined) return CONNECTION_MESSAGES[connection];
  return CODE_MESSAGES[code] ?? "the call to the token blacklist failed";
}
