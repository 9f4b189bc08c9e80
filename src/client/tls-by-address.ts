import { isIP, type Socket } from "node:net";
import { type ConnectionOptions, checkServerIdentity } from "node:tls";
import type { ChannelCredentials } from "@grpc/grpc-js";

type Connect = ReturnType<ChannelCredentials["_createSecureConnector"]>["connect"];

/**
 * Makes `credentials` usable for services that are addressed by IP address. grpc-js sends the IP address as the TLS server name,
 * which RFC 6066 forbids: Node.js warns, and from version 25 on refuses to connect. Without a server name Node.js looks for the
 * address in the certificate. With several addresses, the certificate must contain
 * the address connected to, or the first one.
 */
export function withoutAddressAsServerName(credentials: ChannelCredentials): ChannelCredentials {
  const create = credentials._createSecureConnector.bind(credentials);
  credentials._createSecureConnector = (...args) => {
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
  return credentials;
}
