import { X509Certificate } from "node:crypto";
import { type ChannelCredentials, credentials } from "@grpc/grpc-js";
import { isLoopback, parseHostPort } from "../host-port.ts";
import { type Authorization, bearer, type Token } from "./authorization.ts";
import { invalidAll } from "./check-options.ts";
import { ClientError } from "./client-error.ts";
import { unknownOptions } from "./known-options.ts";
import { namingNoAddress } from "./tls-by-address.ts";

export interface CredentialsSetup {
  /** Says who calls. Absent: a client certificate does, or nobody. */
  readonly token?: Token | undefined;
  /** Absent: connections are not encrypted. `true`: encrypted, and Node.js tells whom to trust. */
  readonly tls?: Tls | true | undefined;
}

/** All of it in PEM. */
export interface Tls {
  /** The authorities that vouch for the service; absent: those that Node.js trusts by itself. */
  readonly ca?: Buffer | undefined;
  /** The client certificate that says who calls. It needs its key, and the key needs it. */
  readonly cert?: Buffer | undefined;
  readonly key?: Buffer | undefined;
}

/** How a client proves who it is and whom it talks to. */
export interface ClientCredentials {
  /** Protects the connection. */
  readonly channel: ChannelCredentials;
  /**
   * What joins each call to `address`; undefined: nothing. Throws a {@link ClientError} where a token would cross a
   * network in plain text.
   */
  authorization(address: string): Authorization | undefined;
}

/** The one place that decides on TLS and on callers' tokens. Throws a {@link ClientError} at what cannot be used. */
export function clientCredentials(setup: CredentialsSetup = {}): ClientCredentials {
  const { token, tls } = setup;
  refuseUnknown(setup, tls);
  // Not as CallCredentials: grpc-js refuses those without TLS, and reports what a token's source throws as its own failure.
  const authorization = token === undefined ? undefined : bearer(token);
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

/** A misspelt `tls` would be a connection in plain text, and a misspelt `ca` another judge of the service. */
function refuseUnknown(setup: object, tls: unknown): void {
  const violations = unknownOptions(setup, ["token", "tls"]);
  if (typeof tls === "object" && tls !== null) {
    for (const { field, description } of unknownOptions(tls, ["ca", "cert", "key"])) {
      violations.push({ field: `tls.${field}`, description });
    }
  } else if (tls !== undefined && tls !== true) {
    violations.push({ field: "tls", description: "must be true, or an object with any of ca, cert and key" });
  }
  if (violations.length > 0) throw invalidAll(violations);
}

function encrypted({ ca, cert, key }: Tls): ChannelCredentials {
  if ((cert === undefined) !== (key === undefined)) throw unusable("cert and key need each other");
  // What is no certificate createSsl would pass over, and then trust nobody.
  if (ca !== undefined) attempt("the CA certificate", () => new X509Certificate(ca));
  return attempt("cert and key", () =>
    namingNoAddress(credentials.createSsl(ca ?? null, key ?? null, cert ?? null)),
  );
}

/** OpenSSL says what is wrong without a word of what is in the PEM. */
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
