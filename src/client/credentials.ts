import { X509Certificate } from "node:crypto";
import { type ChannelCredentials, credentials } from "@grpc/grpc-js";
import { isLoopback, parseHostPort } from "../connections/host-port.ts";
import { type Authorization, type BearerToken, bearerAuthorization } from "./authorization.ts";
import { ClientError } from "./client-error.ts";
import { invalidArguments, unknownOptions } from "./option-problems.ts";
import { withoutAddressAsServerName } from "./tls-by-address.ts";

export interface CredentialsSetup {
  /** Authenticates the caller. Absent: the client certificate does, if there is one. */
  readonly token?: BearerToken | undefined;
  /** Absent: connections are not encrypted. `true`: encrypted, with the CAs that Node.js trusts. */
  readonly tls?: Tls | true | undefined;
}

/** All values are PEM. */
export interface Tls {
  /** The CAs that may have issued the service's certificate; absent: those that Node.js trusts. */
  readonly ca?: Buffer | undefined;
  /** The client certificate that authenticates the caller. `cert` and `key` require each other. */
  readonly cert?: Buffer | undefined;
  readonly key?: Buffer | undefined;
}

/** How a client authenticates itself and the service. */
export interface ClientCredentials {
  /** Protects the connection. */
  readonly channel: ChannelCredentials;
  /**
   * The authorization of each call to `address`; undefined: none. Throws a {@link ClientError} if a token would cross a network in
   * plain text.
   */
  authorization(address: string): Authorization | undefined;
}

/** Decides on TLS and on callers' tokens. Throws a {@link ClientError} for unusable values. */
export function clientCredentials(setup: CredentialsSetup = {}): ClientCredentials {
  const { token, tls } = setup;
  refuseUnknown(setup, tls);
  // Not as CallCredentials: grpc-js rejects those without TLS, and reports errors of the token's source as its own.
  const authorization = token === undefined ? undefined : bearerAuthorization(token);
  return {
    channel: tls === undefined ? credentials.createInsecure() : encrypted(tls === true ? {} : tls),
    authorization(address) {
      if (authorization !== undefined && tls === undefined && !staysHere(address)) {
        throw unusable("a token is not sent without TLS, except to this machine");
      }
      return authorization;
    },
  };
}

/** A misspelt `tls` would mean plain text, and a misspelt `ca` other trusted CAs. */
function refuseUnknown(setup: object, tls: unknown): void {
  const violations = unknownOptions(setup, ["token", "tls"]);
  if (typeof tls === "object" && tls !== null) {
    for (const { field, description } of unknownOptions(tls, ["ca", "cert", "key"])) {
      violations.push({ field: `tls.${field}`, description });
    }
  } else if (tls !== undefined && tls !== true) {
    violations.push({ field: "tls", description: "must be true, or an object with any of ca, cert and key" });
  }
  if (violations.length > 0) throw invalidArguments(violations);
}

function encrypted({ ca, cert, key }: Tls): ChannelCredentials {
  if ((cert === undefined) !== (key === undefined)) throw unusable("cert and key need each other");
  // createSsl ignores an invalid certificate, and would then trust no CA at all.
  if (ca !== undefined) attempt("the CA certificate", () => new X509Certificate(ca));
  return attempt("cert and key", () =>
    withoutAddressAsServerName(credentials.createSsl(ca ?? null, key ?? null, cert ?? null)),
  );
}

/** OpenSSL's error codes and messages do not contain any of the PEM's content. */
function attempt<T>(what: string, use: () => T): T {
  try {
    return use();
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    throw unusable(`${what} cannot be used (${code ?? message})`, cause);
  }
}

function staysHere(address: string): boolean {
  if (address.startsWith("unix:")) return true;
  try {
    return isLoopback(parseHostPort(address).host);
  } catch {
    return false;
  }
}

function unusable(message: string, cause?: unknown): ClientError {
  return new ClientError("INVALID_ARGUMENT", message, { cause });
}
