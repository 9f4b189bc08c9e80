import { isIP, type Socket } from "node:net";
import { type ConnectionOptions, checkServerIdentity } from "node:tls";
import type { ChannelCredentials } from "@grpc/grpc-js";

type Connect = ReturnType<ChannelCredentials["_createSecureConnector"]>["connect"];

/**
 * `credentials`, also for services that are named by an IP address. grpc-js announces the address as if it were a host name, which
 * RFC 6066 rules out: Node.js warns of it, and from version 25 on refuses to connect. Without a name Node.js looks for the
 * address in the certificate. Of several addresses a certificate must hold the one that is connected to, or the first.
 */
export function namingNoAddress(credentials: ChannelCredentials): ChannelCredentials {
  const create = credentials._createSecureConnector.bind(credentials);
  credentials._createSecureConnector = (...args) => {
    const connector = create(...args);
    // Not in its types.
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
