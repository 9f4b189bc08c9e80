import { DEFAULT_ALGORITHMS, parseAlgorithms } from "../auth/algorithms.ts";
import type { BearerRules } from "../auth/bearer-authenticator.ts";
import { type CertificateRoles, parseCertificateRoles } from "../auth/certificate-roles.ts";
import { type JwksSource, parseJwksUrl, parseTokenIssuers, type TokenIssuer } from "../auth/jwks-source.ts";
import { type HostPort, isLoopback } from "../connections/host-port.ts";
import { MAX_CHECK_STREAMS, MAX_WATCHES } from "../limits.ts";
import { checkTlsFiles } from "../tls/certificates.ts";
import { ClientTrust } from "../tls/client-trust.ts";
import { anyText, between, type EnvironmentReader, onOrOff, wholeNumber } from "./environment.ts";

/**
 * Default of MAX_STREAMS_PER_CALLER. A gateway's process needs one stream of each kind, and few fleets have two thousand processes at one
 * replica under one name. So many streams take 35 MB if they share a few connections.
 */
export const DEFAULT_STREAMS_PER_CALLER = 2000;

/** Which callers are admitted, over which connections, and how much they may store. */
export interface Security {
  /** The requirements for callers' tokens, and the keys that sign them. Undefined: bearer tokens are not accepted. */
  readonly bearers: (BearerRules & { readonly keys: JwksSource }) | undefined;
  /** Undefined: connections are not encrypted. */
  readonly tls: TlsFiles | undefined;
  /** The roles of clients' certificates. Undefined: certificates are not requested. */
  readonly certificateRoles: CertificateRoles | undefined;
  /** The file from which these roles were read, if any. Its changes are applied at run time. */
  readonly certificateRolesFile: string | undefined;
  /** Whether LISTEN_ADDRESS is not loopback although TLS or authentication is off, which INSECURE=yes permits. */
  readonly insecure: boolean;
  readonly reflection: boolean;
  /** Issuers whose raw tokens may be blacklisted. */
  readonly tokenIssuers: readonly TokenIssuer[];
  /** The signature algorithms accepted for such raw tokens. */
  readonly tokenAlgorithms: readonly string[];
  /** Maximum time from now to an entry's expiry; 0: no limit. */
  readonly maxTokenLifetimeMs: number;
  readonly auditLog: boolean;
  readonly quota: QuotaSettings;
  /** Maximum number of streams of one caller, of Watch and of StreamChecks each. Without authentication it does not apply. */
  readonly streamsPerCaller: number;
}

/** The paths of the files. */
export interface TlsFiles {
  readonly certificate: string;
  readonly key: string;
  readonly clientCa: string | undefined;
  /** The revocation lists for clients' certificates. */
  readonly clientCrl: string | undefined;
}

/** Limits on what one caller may blacklist; 0: no limit. */
export interface QuotaSettings {
  /** Entries written per second, at each replica. */
  readonly rowsPerSecond: number;
  /** Unexpired entries. Undefined: the default that protects the memory of the index. */
  readonly rows: number | undefined;
}

export function readSecurity(
  from: EnvironmentReader,
  { listenAddress, insecure }: { listenAddress: HostPort | undefined; insecure: boolean },
): Security {
  const bearers = readBearers(from);
  const tls = readTls(from);
  const certificateRoles = from.optional("TLS_CLIENT_ROLES", parseCertificateRoles, { isList: true });
  if (from.isSet("TLS_CLIENT_ROLES") !== from.isSet("TLS_CLIENT_CA_FILE")) {
    from.addProblem("TLS_CLIENT_CA_FILE and TLS_CLIENT_ROLES need each other: set both or neither");
  }
  if (certificateRoles !== undefined && !from.isSet("AUTH_ISSUER") && areAllCarriers(certificateRoles)) {
    from.addProblem(
      "TLS_CLIENT_ROLES must give a role to at least one certificate, unless bearer tokens are accepted (AUTH_...)",
    );
  }
  const isAuthenticated = bearers !== undefined || certificateRoles !== undefined;
  const isExposed = listenAddress !== undefined && !isLoopback(listenAddress.host);
  if (isExposed && !insecure && !(isAuthenticated && tls !== undefined)) {
    from.addProblem(
      "LISTEN_ADDRESS must be a loopback address, unless TLS (TLS_CERT_FILE, TLS_KEY_FILE) and authentication (AUTH_..., or TLS_CLIENT_CA_FILE and TLS_CLIENT_ROLES) are configured, or INSECURE=yes",
    );
  }
  return {
    bearers,
    tls,
    certificateRoles,
    certificateRolesFile: from.pathOfFile("TLS_CLIENT_ROLES"),
    insecure: insecure && isExposed && !(isAuthenticated && tls !== undefined),
    reflection: from.read("REFLECTION", isAuthenticated ? "off" : "on", onOrOff),
    tokenIssuers: from.optional("TOKEN_ISSUERS", parseTokenIssuers, { isList: true }) ?? [],
    tokenAlgorithms: from.read("TOKEN_ALGORITHMS", DEFAULT_ALGORITHMS, parseAlgorithms, { isList: true }),
    maxTokenLifetimeMs: from.read("MAX_TOKEN_LIFETIME", "0", between("0", "36500d")),
    streamsPerCaller: from.read(
      "MAX_STREAMS_PER_CALLER",
      String(DEFAULT_STREAMS_PER_CALLER),
      wholeNumber(1, Math.max(MAX_WATCHES, MAX_CHECK_STREAMS)),
    ),
    auditLog: from.read("AUDIT_LOG", "on", onOrOff),
    quota: {
      rowsPerSecond: from.read("QUOTA_ROWS_PER_SECOND", "0", wholeNumber(0, 1_000_000)),
      rows: from.optional("QUOTA_ROWS", wholeNumber(0, 1_000_000_000)),
    },
  };
}

/** Whether no certificate has a role: each only carries the tokens of other callers. */
function areAllCarriers(roles: CertificateRoles): boolean {
  return [...roles.values()].every((given) => given.length === 0);
}

function readBearers(from: EnvironmentReader): Security["bearers"] {
  const url = from.optional("AUTH_JWKS_URL", parseJwksUrl);
  const path = from.file("AUTH_JWKS_FILE")?.path;
  const issuer = from.optional("AUTH_ISSUER", anyText);
  const audience = from.optional("AUTH_AUDIENCE", anyText);
  const algorithms = from.read("AUTH_ALGORITHMS", DEFAULT_ALGORITHMS, parseAlgorithms, { isList: true });
  const scopeClaim = from.read("AUTH_SCOPE_CLAIM", "scope", anyText);
  const clockToleranceMs = from.read("AUTH_CLOCK_TOLERANCE", "5s", between("0", "5m"));
  const given = [
    from.isSet("AUTH_JWKS_URL") || from.isSet("AUTH_JWKS_FILE"),
    from.isSet("AUTH_ISSUER"),
    from.isSet("AUTH_AUDIENCE"),
  ];
  if (!given.includes(true)) return undefined;
  if (url !== undefined && path !== undefined) {
    from.addProblem("AUTH_JWKS_URL and AUTH_JWKS_FILE are both set: choose one");
  }
  const keys = url ?? (path === undefined ? undefined : { kind: "file" as const, path });
  if (given.includes(false)) {
    from.addProblem(
      "AUTH_JWKS_URL or AUTH_JWKS_FILE, AUTH_ISSUER and AUTH_AUDIENCE need each other: set all three",
    );
  }
  if (keys === undefined || issuer === undefined || audience === undefined) return undefined;
  return { keys, issuer, audience, algorithms, scopeClaim, clockToleranceMs };
}

function readTls(from: EnvironmentReader): TlsFiles | undefined {
  const certificate = from.file("TLS_CERT_FILE");
  const key = from.file("TLS_KEY_FILE");
  const clientCa = from.file("TLS_CLIENT_CA_FILE");
  const clientCrl = from.file("TLS_CLIENT_CRL_FILE");
  if (from.isSet("TLS_CLIENT_CRL_FILE") && !from.isSet("TLS_CLIENT_CA_FILE")) {
    from.addProblem("TLS_CLIENT_CRL_FILE needs TLS_CLIENT_CA_FILE");
  }
  const given = [from.isSet("TLS_CERT_FILE"), from.isSet("TLS_KEY_FILE")];
  if (given.includes(false) && (given.includes(true) || from.isSet("TLS_CLIENT_CA_FILE"))) {
    from.addProblem("TLS_CERT_FILE and TLS_KEY_FILE need each other: set both");
  }
  if (certificate === undefined || key === undefined) return undefined;
  try {
    checkTlsFiles({ cert: certificate.content, key: key.content, ca: clientCa?.content });
    if (clientCa !== undefined) new ClientTrust({ ca: clientCa.content, crl: clientCrl?.content });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    from.addProblem(error.message);
  }
  return {
    certificate: certificate.path,
    key: key.path,
    clientCa: clientCa?.path,
    clientCrl: clientCrl?.path,
  };
}
