import type { status } from "@grpc/grpc-js";

/**
 * Why there is no connection. `refused`: no process listens at the address. `unknown-host`: the host name has no address.
 * `unreachable`: no route to the address, or no answer from it. `certificate`: one side rejects the other's certificate. `not-tls`:
 * the server at the address does not speak TLS. `hung-up`: the server closed the connection while it was being established. `lost`:
 * an established connection broke during the call.
 */
export type ConnectionFailure =
  | "refused"
  | "unknown-host"
  | "unreachable"
  | "certificate"
  | "not-tls"
  | "hung-up"
  | "lost";

const BROKEN = /^Connection dropped|RST_STREAM|^Stream refused|HTTP\/2|ERR_HTTP2|ECONNRESET|EPIPE/;

/** Patterns of grpc-js's error texts, which alone distinguish these failures. The first match applies. */
const SIGNS: readonly (readonly [RegExp, ConnectionFailure])[] = [
  [/ECONNREFUSED|connect ENOENT/, "refused"],
  [/name resolution|ENOTFOUND|EAI_AGAIN|no addresses resolved/i, "unknown-host"],
  [/certificate|altnames/i, "certificate"],
  [/wrong version number|packet length too long/, "not-tls"],
  [/EHOSTUNREACH|ENETUNREACH|ENETDOWN|ETIMEDOUT|EADDRNOTAVAIL/, "unreachable"],
  [/Failed to connect|hang up|No connection established.*(ECONNRESET|EPIPE)/, "hung-up"],
  [BROKEN, "lost"],
];

/** The connection failure that `text`, the explanation of `code` by grpc-js or a proxy, describes; undefined: none. */
export function connectionFailure(code: StatusName, text: string): ConnectionFailure | undefined {
  if (code === "UNAVAILABLE") return SIGNS.find(([sign]) => sign.test(text))?.[1];
  return code === "INTERNAL" && text.startsWith("Received RST_STREAM") ? "lost" : undefined;
}

const UNREACHED = "the token blacklist cannot be reached";

const CONNECTION_MESSAGES: Readonly<Record<ConnectionFailure, string>> = {
  refused: `${UNREACHED}: nothing listens at its address`,
  "unknown-host": `${UNREACHED}: the host name in its address is not known`,
  unreachable: `${UNREACHED}: its address does not answer`,
  certificate: `${UNREACHED}: its certificate, or the client's, is not accepted`,
  "not-tls": `${UNREACHED}: what listens at its address does not speak TLS`,
  "hung-up": `${UNREACHED}: what listens at its address closes the connection`,
  lost: "the connection to the token blacklist was lost",
};

const CODE_MESSAGES: Partial<Record<StatusName, string>> = {
  UNAVAILABLE: UNREACHED,
  DEADLINE_EXCEEDED: "no answer from the token blacklist in time",
  CANCELLED: "the call was cancelled",
  UNIMPLEMENTED: "what answers at the address of the token blacklist does not offer this call",
  UNAUTHENTICATED: "the token blacklist, or a proxy before it, does not know who calls",
  PERMISSION_DENIED: "the token blacklist, or a proxy before it, does not allow this call",
  RESOURCE_EXHAUSTED: "the token blacklist, or a proxy before it, refuses more than it takes",
};

/** A message that names neither address nor host, because gateways pass messages on to their own callers. */
export function failureMessage(code: StatusName, connection: ConnectionFailure | undefined): string {
  if (connection !== undefined) return CONNECTION_MESSAGES[connection];
  return CODE_MESSAGES[code] ?? "the call to the token blacklist failed";
}

/** The name of a gRPC status, such as `UNAVAILABLE`. */
export type StatusName = keyof typeof status;
