import mysql, { type Connection } from "mysql2/promise";
import { FaultProxy } from "./fault-proxy.ts";
import type { MysqlServer } from "./mariadb.ts";
import type { TestDatabase } from "./mysql-database.ts";

/** A new, empty MySQL database, reached directly or through a proxy that injects faults. */
export class FaultyDatabase {
  readonly url: string;
  /** The same database through the proxy. */
  readonly proxiedUrl: string;
  readonly proxy: FaultProxy;
  /** A direct connection for the test's own statements. */
  readonly admin: Connection;
  readonly #database: TestDatabase;

  private constructor(database: TestDatabase, proxy: FaultProxy, admin: Connection) {
    this.url = database.url;
    this.proxiedUrl = proxy.through(database.url);
    this.proxy = proxy;
    this.admin = admin;
    this.#database = database;
  }

  static async create(server: Pick<MysqlServer, "createDatabase">): Promise<FaultyDatabase> {
    const database = await server.createDatabase();
    const { hostname, port } = new URL(database.url);
    const proxy = await FaultProxy.start({ host: hostname, port: Number(port || 3306) });
    const admin = await mysql.createConnection(database.url);
    // A server that is stopped closes the connection.
    admin.on("error", () => {});
    return new FaultyDatabase(database, proxy, admin);
  }

  /** Closes the connections and drops the database. Its users are closed before, if necessary after `proxy.heal()`. */
  async close(): Promise<void> {
    this.admin.destroy();
    await this.proxy.close();
    await this.#database.drop();
  }
}
