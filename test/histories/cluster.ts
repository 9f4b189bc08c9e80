import mysql, { type Connection } from "mysql2/promise";
import { migrate } from "../../src/start/migrate.ts";
import { parseDatabaseUrl } from "../../src/store/database-url.ts";
import { type PrivateMariadb, startMariadb } from "../support/mariadb.ts";
import { Gateway } from "./gateway.ts";
import { Replica } from "./replica.ts";

export const REPLICAS = 3;
/**
 * How far each gateway's wall clock is ahead. If ahead, the service's clock decides, and if behind, the gateway's own
 * clock; by far more than an entry's leeway.
 */
const SKEWS_MS = [0, 600_000, -600_000];
const CONNECT_TIMEOUT_MS = 5000;

export interface ClusterOptions {
  readonly binaryLog: boolean;
  /** The service's setting INDEX; absent: its default. */
  readonly index?: "on" | "off" | undefined;
}

/** A database, three replicas, and gateways with local copies. Serves any number of successive histories. */
export class Cluster {
  readonly server: PrivateMariadb;
  readonly binaryLog: boolean;
  readonly databaseUrl: string;
  readonly replicas: readonly Replica[];
  readonly gateways: readonly Gateway[];

  private constructor(
    server: PrivateMariadb,
    options: {
      binaryLog: boolean;
      databaseUrl: string;
      replicas: readonly Replica[];
      gateways: readonly Gateway[];
    },
  ) {
    this.server = server;
    this.binaryLog = options.binaryLog;
    this.databaseUrl = options.databaseUrl;
    this.replicas = options.replicas;
    this.gateways = options.gateways;
  }

  /** Starts everything on a server with or without a binary log. Leaves nothing behind on failure. */
  static async start({ binaryLog, index }: ClusterOptions): Promise<Cluster> {
    const server = await startMariadb({ binaryLog });
    return Cluster.on(server, { binaryLog, index });
  }

  /** The same on an existing server, which is stopped together with the cluster. */
  static async on(server: PrivateMariadb, { binaryLog, index }: ClusterOptions): Promise<Cluster> {
    const replicas: Replica[] = [];
    const gateways: Gateway[] = [];
    try {
      const { url: databaseUrl } = await server.createDatabase();
      await migrate("up", parseDatabaseUrl(databaseUrl), () => {});
      const env = index === undefined ? {} : { INDEX: index };
      for (let number = 0; number < REPLICAS; number++) {
        replicas.push(await Replica.start(number, { databaseUrl, env }));
      }
      for (const [number, skewMs] of SKEWS_MS.entries()) {
        gateways.push(await Gateway.start(number, { replicas, skewMs, keepsCopy: index !== "off" }));
      }
      await Promise.all(gateways.map((gateway) => gateway.ready()));
      return new Cluster(server, { binaryLog, databaseUrl, replicas, gateways });
    } catch (error) {
      await Promise.all(gateways.map((gateway) => gateway.kill()));
      await Promise.all(replicas.map((replica) => replica.stop()));
      await server.stop();
      throw error;
    }
  }

  /** Runs `work` on a direct connection, without proxies. */
  async withDatabase<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
    const connection = await mysql.createConnection({
      uri: this.databaseUrl,
      connectTimeout: CONNECT_TIMEOUT_MS,
    });
    connection.on("error", () => {});
    try {
      return await work(connection);
    } finally {
      connection.destroy();
    }
  }

  /** Removes the effects of a failed fault, except kills. */
  async heal(): Promise<void> {
    this.server.resume();
    await Promise.all([
      ...this.replicas.map(async (replica) => {
        await replica.resume();
        await replica.proxy.heal();
      }),
      ...this.gateways.map((gateway) => gateway.heal()),
    ]);
  }

  async stop(): Promise<void> {
    await Promise.all(this.gateways.map((gateway) => gateway.kill()));
    await Promise.all(this.replicas.map((replica) => replica.stop()));
    await this.server.stop();
  }
}
