import { formatHostPort } from "../connections/host-port.ts";
import type { DatabaseAddress } from "../store/database-url.ts";

/** The database's address for the log, without user name and password. */
export function describeDatabase(address: DatabaseAddress): Readonly<Record<string, string>> {
  if (address.kind === "sqlite") return { database: address.kind, file: address.filename };
  const { kind, host, port, database } = address;
  return { database: kind, host: formatHostPort({ host, port }), schema: database };
}
