import type { Connection } from "mysql2/promise";
import type { FaultProxy } from "../support/fault-proxy.ts";
import { FaultyDatabase } from "../support/faulty-database.ts";
import type { PrivateMariadb } from "../support/mariadb.ts";
import { RawChannel } from "../support/raw-channel.ts";
import { type RunningService, startService } from "../support/service.ts";

/** Two services with loaded indexes on one new database, whose connection can fail for one of them. */
export class OutageStage {
  readonly proxy: FaultProxy;
  /** A direct connection to the database. */
  readonly admin: Connection;
  /** Its database connection can fail. */
  readonly here: RunningService;
  readonly elsewhere: RunningService;
  /** A connection to `here`. */
  readonly channel: RawChannel;
  readonly #database: FaultyDatabase;

  private constructor(database: FaultyDatabase, here: RunningService, elsewhere: RunningService) {
    this.#database = database;
    this.proxy = database.proxy;
    this.admin = database.admin;
    this.here = here;
    this.elsewhere = elsewhere;
    this.channel = new RawChannel(here.address);
  }

  static async open(server: PrivateMariadb): Promise<OutageStage> {
    const database = await FaultyDatabase.create(server);
    const env = { INDEX: "on" };
    const here = await startService({ url: database.proxiedUrl, env });
    const elsewhere = await startService({ url: database.url, env });
    await Promise.all([here.indexLoaded(), elsewhere.indexLoaded()]);
    return new OutageStage(database, here, elsewhere);
  }

  async close(): Promise<void> {
    await this.proxy.heal();
    this.channel.close();
    await Promise.all([this.here.stop(), this.elsewhere.stop()]);
    await this.#database.close();
  }
}
