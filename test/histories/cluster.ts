import mysql, { type Connection } from "mysql2/promise";
import { migrate } from "../../src/start/migrate.ts";
import { parseDatabaseUrl } from "../../src/store/database-url.ts";
import { type PrivateMariadb, startMariadb } from "../support/mariadb.ts";
import { Gateway } from "./gateway.ts";
import { Replica } from "./replica.ts";

export const REPLICAS = 3;
/**
 * One for each gateway: by how much its wall clock is ahead. What decides is the service's clock where its own is ahead, and its own
 * where it is behind; by far more than an entry's leeway.
 */
const SKEWS_MS = [0, 600_000, -600_000];
const CONNECT_TIMEOUT_MS = 5000;

export interface ClusterOptions {
  readonly binaryLog: boolean;
  /** The service's setting INDEX; its own default unless given. */
  readonly index?: "on" | "off" | undefined;
}

/** A database of its own under three replicas, and gateways that keep copies. Serves any number of histories, one after the other. */
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

  /** Starts everything on a server that was started with, or without, a binary log. Nothing is left behind where it fails. */
  static async start({ binaryLog, index }: ClusterOptions): Promise<Cluster> {
    const server = await startMariadb({ binaryLog });
    return Cluster.on(server, { binaryLog, index });
  }

  /** The same on a server that is there already, and that is stopped together with the cluster. */
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

  /** Runs `work` on a connection of its own, past all proxies. */
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

  /** Takes back whatever a fault that failed may have left behind, short of what was killed. */
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
