import { X509Certificate } from "node:crypto";
import { isIP, type Socket } from "node:net";
import { type ConnectionOptions, checkServerIdentity } from "node:tls";
import { type ChannelCredentials, credentials } from "@grpc/grpc-js";
import { isLoopback, parseHostPort } from "../connections/host-port.ts";
import { type Authorization, type BearerToken, bearerAuthorization } from "./authorization.ts";
import { ClientError, ignoringErrors } from "./client-error.ts";
import { invalidArguments, unknownOptions } from "./option-problems.ts";

export interface CredentialsSetup {
  /** Authenticates the caller. Absent: the caller is authenticated by the client certificate, if there is one. */
  readonly token?: BearerToken | undefined;
  /** Absent: connections are not encrypted. `true`: encrypted, with the CAs that Node.js trusts. */
  readonly tls?: Tls | true | undefined;
}

/** All values are PEM. */
export interface Tls {
  /** The CAs that may have issued the service's certificate; absent: the CAs that Node.js trusts. */
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

/** Throws a {@link ClientError} for unusable values. */
export function clientCredentials(setup: CredentialsSetup = {}): ClientCredentials {
  const { token, tls } = setup;
  refuseUnknown(setup, tls);
  // The token is not sent as CallCredentials: grpc-js rejects these without TLS, and reports errors of the token's source as its own.
  const authorization = token === undefined ? undefined : bearerAuthorization(token);
  return {
    channel: tls === undefined ? credentials.createInsecure() : encrypted(tls === true ? {} : tls),
    authorization(address) {
      if (authorization !== undefined && tls === undefined && !isOnThisMachine(address)) {
        throw unusable("a token is not sent without TLS, except to this machine");
      }
      return authorization;
    },
  };
}

/** Ignoring a misspelt `tls` would mean plain text, and ignoring a misspelt `ca` other trusted CAs. */
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

/** Converts an error of `use`. OpenSSL's error codes and messages, which are quoted, contain nothing of the PEM. */
function attempt<T>(what: string, use: () => T): T {
  try {
    return use();
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    throw unusable(`${what} cannot be used (${code ?? message})`, cause);
  }
}

function isOnThisMachine(address: string): boolean {
  return (
    address.startsWith("unix:") || ignoringErrors(() => isLoopback(parseHostPort(address).host)) === true
  );
}

function unusable(message: string, cause?: unknown): ClientError {
  return new ClientError("INVALID_ARGUMENT", message, { cause });
}

type Connect = ReturnType<ChannelCredentials["_createSecureConnector"]>["connect"];

/**
 * Makes `channel` usable for services that are addressed by IP address. grpc-js sends the IP address as the TLS server name, which
 * RFC 6066 forbids: Node.js warns, and from version 25 on refuses to connect. Without a server name Node.js looks for the address
 * in the certificate. With several addresses, the certificate must contain the address connected to, or the first address.
 */
function withoutAddressAsServerName(channel: ChannelCredentials): ChannelCredentials {
  const create = channel._createSecureConnector.bind(channel);
  channel._createSecureConnector = (...args) => {
    const connector = create(...args);
    // Missing from grpc-js's types.
    const { connectionOptions } = connector as { readonly connectionOptions?: ConnectionOptions };
    if (isIP(connectionOptions?.servername ?? "") === 0) return connector;
    const options = connectionOptions as ConnectionOptions;
    delete options.servername;
    const connect: Connect = connector.connect.bind(connector);
    connector.connect = (socket: Socket) => {
      const { remoteAddress = "" } = socket;
      options.checkServerIdentity = (first, certificate) =>
        checkServerIdentity(remoteAddress, certificate) && checkServerIdentity(first, certificate);
      return connect(socket);
    };
    return connector;
  };
  return channel;
}
