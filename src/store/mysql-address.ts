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
}

/** With TLS the server's certificate is verified, and so is that it was issued for this host. */
export function connectionOptions(where: MysqlAddress): DriverOptions {
  const { host, port, user, password, database, tls } = where;
  const address = { host, port, user, password, database };
  if (tls === undefined) return address;
  const ca = tls.ca === undefined ? {} : { ca: tls.ca };
  return { ...address, ssl: { ...ca, rejectUnauthorized: true, verifyIdentity: true } };
}
