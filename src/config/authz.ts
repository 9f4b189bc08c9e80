import { type HostPort, isLoopback, parseHostPort } from "../connections/host-port.ts";
import { between, type EnvironmentReader, oneOf, onOrOff } from "./environment.ts";

/** The settings of external authorization: decisions for proxies about their clients' requests. */
export interface Authz {
  /** Whether to serve Envoy's ext_authz, on the gRPC listener. */
  readonly extAuthz: boolean;
  /** Address of the HTTP server for other proxies; undefined: none. */
  readonly address: HostPort | undefined;
  /** The header in which the proxy sends the jti of the token that it has verified, in lower case; undefined: none. */
  readonly jtiHeader: string | undefined;
  /** The header in which the proxy sends the method of its client's request, in lower case; undefined: the proxy's own request has that method. */
  readonly methodHeader: string | undefined;
  /** Whether the jti is also read from the bearer token, without verifying its signature. */
  readonly unverifiedBearer: boolean;
  /** The decision about a request without a token, or with a token without a jti. */
  readonly missingJti: "deny" | "allow";
  /** The decision about a CORS preflight, which never has a token. "allow" passes it regardless of `missingJti`. */
  readonly preflight: "deny" | "allow";
  /** The maximum staleness of a decision in milliseconds; 0: fully fresh. */
  readonly maxStalenessMs: number;
  /** Whether `address` is not loopback, which INSECURE=yes permits. */
  readonly insecure: boolean;
}

export function readAuthz(from: EnvironmentReader, { insecure }: { insecure: boolean }): Authz {
  const authz = {
    extAuthz: from.read("EXT_AUTHZ", "off", onOrOff),
    address: from.optional("AUTHZ_ADDRESS", parseHostPort),
    jtiHeader: from.optional("AUTHZ_JTI_HEADER", parseHeaderName),
    methodHeader: from.optional("AUTHZ_METHOD_HEADER", parseHeaderName),
    unverifiedBearer: from.read("UNVERIFIED_BEARER", "off", onOrOff),
    missingJti: from.read("MISSING_JTI", "deny", oneOf("deny", "allow")),
    preflight: from.read("AUTHZ_PREFLIGHT", "deny", oneOf("deny", "allow")),
    maxStalenessMs: from.read("AUTHZ_MAX_STALENESS", "0", between("0", "1h")),
  };
  const { address, unverifiedBearer } = authz;
  const hasAddress = from.isSet("AUTHZ_ADDRESS");
  for (const name of ["AUTHZ_JTI_HEADER", "AUTHZ_METHOD_HEADER"]) {
    if (from.isSet(name) && !hasAddress) from.addProblem(`${name} needs AUTHZ_ADDRESS`);
  }
  if (from.isSet("AUTHZ_METHOD_HEADER") && authz.preflight === "deny") {
    from.addProblem(
      "AUTHZ_METHOD_HEADER needs AUTHZ_PREFLIGHT=allow: the method is only used to recognize preflights",
    );
  }
  // `unverifiedBearer` is undefined at run time if its value is invalid.
  if (hasAddress && !from.isSet("AUTHZ_JTI_HEADER") && unverifiedBearer === false) {
    from.addProblem(
      "AUTHZ_ADDRESS needs AUTHZ_JTI_HEADER or UNVERIFIED_BEARER=on: otherwise no request has a token to check",
    );
  }
  if (authz.extAuthz === false && !hasAddress) {
    for (const name of ["UNVERIFIED_BEARER", "MISSING_JTI", "AUTHZ_PREFLIGHT", "AUTHZ_MAX_STALENESS"]) {
      if (from.isSet(name)) from.addProblem(`${name} needs EXT_AUTHZ=on or AUTHZ_ADDRESS`);
    }
  }
  const isExposed = address !== undefined && !isLoopback(address.host);
  if (isExposed && !insecure) {
    from.addProblem(
      "AUTHZ_ADDRESS must be a loopback address, since it does not authenticate callers, unless INSECURE=yes",
    );
  }
  return { ...authz, insecure: isExposed && insecure };
}

function parseHeaderName(text: string): string {
  const name = text.toLowerCase();
  if (!/^[a-z0-9-]{1,64}$/.test(name) || name === "authorization") {
    throw new RangeError(
      "must be the name of a header, such as X-Token-Id: letters, digits and hyphens, and not Authorization",
    );
  }
  return name;
}
