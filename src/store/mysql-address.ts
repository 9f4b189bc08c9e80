import { connect, isIP, type Socket } from "node:net";

/** Where a MySQL or MariaDB server is. */
export interface MysqlAddress {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
  /** Absent: the connection is not encrypted. */
  readonly tls?: MysqlTls | undefined;
}

export interface MysqlTls {
  /** Certificates in PEM, one of which must vouch for the server's. Absent: those that the system trusts. */
  readonly ca?: string | undefined;
}

/** The address in the driver's terms. */
export interface DriverOptions extends Omit<MysqlAddress, "tls"> {
  readonly ssl?: { ca?: string; rejectUnauthorized: boolean; verifyIdentity: boolean };
  readonly stream?: () => Socket;
}

/** With TLS the server's certificate is verified, and so is that it was issued for this host. */
export function connectionOptions(where: MysqlAddress): DriverOptions {
  const { host, port, user, password, database, tls } = where;
  const address = { host, port, user, password, database };
  if (tls === undefined) return address;
  const ca = tls.ca === undefined ? {} : { ca: tls.ca };
  const ssl = { ...ca, rejectUnauthorized: true, verifyIdentity: true };
  return isIP(host) === 0 ? { ...address, ssl } : { ...address, ssl, stream: () => connectByAddress(where) };
}

/** The driver does not tell TLS of a host that is an address: Node would then look for "localhost" in the certificate. */
function connectByAddress({ host, port }: MysqlAddress): Socket {
  const socket = connect({ host, port, noDelay: true, keepAlive: true });
  // Where Node keeps the host that it looked up, and finds it when it is told of none.
  return Object.assign(socket, { _host: host });
}
