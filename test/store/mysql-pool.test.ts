import { expect } from "chai";
import { parseDatabaseUrl } from "../../src/store/database-url.ts";
import { connectionOptions, type MysqlAddress } from "../../src/store/mysql-address.ts";
import { createMysqlPool, type MysqlPool } from "../../src/store/mysql-pool.ts";
import { FaultProxy } from "../support/fault-proxy.ts";
import { freshDatabase } from "../support/shared.ts";
import { until } from "../support/until.ts";

/** The maximum number of connections of the pool. */
const MOST = 4;
const FIRST_STATEMENT = "SET SESSION TRANSACTION";

describe("the pool of connections to MySQL", () => {
  let dispose: () => Promise<void>;
  let proxy: FaultProxy;
  let pool: MysqlPool;

  beforeEach(async () => {
    const database = await freshDatabase();
    dispose = database.dispose;
    const { port, hostname } = new URL(database.url);
    proxy = await FaultProxy.start({ host: hostname, port: Number(port) });
    const address = parseDatabaseUrl(proxy.through(database.url)) as unknown as MysqlAddress;
    pool = createMysqlPool(connectionOptions(address), { timeoutMs: 1000, connectTimeoutMs: 500 });
  });

  afterEach(async () => {
    await pool.close();
    await proxy.close();
    await dispose();
  });

  const outcomes = () =>
    Promise.all(
      Array.from({ length: MOST }, () =>
        pool.knex.raw("SELECT 1").then(
          () => "answered",
          () => "failed",
        ),
      ),
    );

  it("has room again at once after connections stalled during their set-up", async () => {
    proxy.onClientData = (chunk) => {
      if (chunk.includes(FIRST_STATEMENT)) proxy.blackhole();
      return true;
    };
    const during = await outcomes();
    proxy.onClientData = undefined;
    await proxy.heal();
    await until(() => outcomes().then((all) => all.every((one) => one === "answered")), {
      withinMs: 3000,
      what: "all connections are available",
    });
    expect(during).to.deep.equal(Array(MOST).fill("failed"));
  });

  it("keeps no connection whose set-up failed", async () => {
    let spoiled = 0;
    // Another statement of the same length, which is unknown to the server.
    proxy.onClientData = (chunk) => {
      const at = chunk.indexOf(FIRST_STATEMENT);
      if (at >= 0) {
        chunk.write("SOT", at);
        spoiled++;
      }
      return true;
    };
    const during = await outcomes();
    await until(() => proxy.openConnections === 0, { withinMs: 2000, what: "no connection is left" });
    expect([during, spoiled]).to.deep.equal([Array(MOST).fill("failed"), MOST]);
  });
});
