import { AUTHZ_PATH, type AuthzSetup, startAuthzServer } from "../authz/authz-server.ts";
import { TokenAuthorizer } from "../authz/token-authorizer.ts";
import type { Blacklist } from "../blacklist/blacklist.ts";
import type { Authz } from "../config/authz.ts";
import type { HostPort } from "../connections/host-port.ts";
import type { Tracing } from "../tracing/call-spans.ts";
import { RequestSpans } from "../tracing/request-spans.ts";

interface Dependencies extends Omit<AuthzSetup, "authorizer" | "trusted" | "spans"> {
  readonly blacklist: Blacklist;
  /** Absent if tracing is off. */
  readonly tracing: Tracing | undefined;
}

interface StartedAuthz {
  /** Decides Envoy's requests on the gRPC listener; absent if ext_authz is off. */
  readonly extAuthz: TokenAuthorizer | undefined;
  /** Address of the HTTP server for other proxies; absent if it is off. */
  readonly address: HostPort | undefined;
  close(): Promise<void>;
}

/** Creates the token authorizer, and starts its HTTP server if it has an address. Throws StartError if the server cannot listen. */
export async function startAuthz(
  authz: Authz,
  { blacklist, tracing, ...parts }: Dependencies,
): Promise<StartedAuthz> {
  const authorizer = new TokenAuthorizer({
    ...authz,
    blacklist,
    log: parts.log,
    logSampling: parts.logSampling,
  });
  if (authz.insecure) parts.log.warn(INSECURE_WARNING);
  const { address, jtiHeader, methodHeader } = authz;
  const trusted = { jtiHeader, methodHeader };
  const spans = tracing && new RequestSpans(AUTHZ_PATH, tracing);
  const server = address && (await startAuthzServer(address, { authorizer, trusted, spans, ...parts }));
  return {
    extAuthz: authz.extAuthz ? authorizer : undefined,
    address: server?.address,
    close: async () => server?.close(),
  };
}

const INSECURE_WARNING = "INSECURE=yes: any peer that can connect to AUTHZ_ADDRESS can check tokens";
