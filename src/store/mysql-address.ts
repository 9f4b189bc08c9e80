import { connect, isIP, type Socket } from "node:net";

/** The address of a MySQL or MariaDB server, with credentials. */
export interface MysqlAddress {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
  /** Absent: the connection is not encrypted. */
  readonly tls?: MysqlTls | undefined;
}

interface MysqlTls {
  /** CA certificates in PEM that must have issued the server's certificate. Absent: the system's trusted CAs. */
  readonly ca?: string | undefined;
}

/** The address as the driver's options. */
export interface DriverOptions extends Omit<MysqlAddress, "tls"> {
  readonly ssl?: { ca?: string; rejectUnauthorized: boolean; verifyIdentity: boolean };
  readonly stream?: () => Socket;
}

/** With TLS, the server's certificate is verified, including that it was issued for this host. */
export function connectionOptions(where: MysqlAddress): DriverOptions {
  const { host, port, user, password, database, tls } = where;
  const address = { host, port, user, password, database };
  if (tls === undefined) return address;
  const ca = tls.ca === undefined ? {} : { ca: tls.ca };
  const ssl = { ...ca, rejectUnauthorized: true, verifyIdentity: true };
  return isIP(host) === 0 ? { ...address, ssl } : { ...address, ssl, stream: () => connectByAddress(where) };
}

/** If the host is an IP address, the driver passes no host to TLS, and Node would look for "localhost" in the certificate. */
function connectByAddress({ host, port }: MysqlAddress): Socket {
  const socket = connect({ host, port, noDelay: true, keepAlive: true });
  // Node reads the host from this property if TLS is given none.
  return Object.assign(socket, { _host: host });
}
