import { expect } from "chai";
import mysql, { type Connection } from "mysql2/promise";
import { migrate } from "../../src/start/migrate.ts";
import { parseDatabaseUrl } from "../../src/store/database-url.ts";
import { FaultProxy } from "../support/fault-proxy.ts";
import type { PrivateMariadb } from "../support/mariadb.ts";
import type { TestDatabase } from "../support/mysql-database.ts";
import { ownMariadb } from "../support/own-mariadb.ts";
import { RawChannel } from "../support/raw-channel.ts";
import { type RunningService, startService } from "../support/service.ts";
import { until } from "../support/until.ts";
import { type StartOptions, Watcher } from "../support/watcher.ts";

const YEAR_2100 = { seconds: 4_102_444_800n };

async function revoke({ client }: RunningService, jti: string): Promise<void> {
  const tokens = [{ token: { case: "jti" as const, value: jti }, expiresAt: YEAR_2100 }];
  await client.blacklist({ tokens }, { timeoutMs: 20_000 });
}

describe("Watch while the database fails", function () {
  this.timeout(60_000);
  let server: PrivateMariadb;
  let database: TestDatabase;
  let proxy: FaultProxy;
  let admin: Connection;
  /** Its database connection can fail. */
  let here: RunningService;
  let elsewhere: RunningService;
  let channel: RawChannel;

  before(async function () {
    server = await ownMariadb(this);
  });
  after(() => server?.stop());

  beforeEach(async () => {
    database = await server.createDatabase();
    await migrate("up", parseDatabaseUrl(database.url), () => {});
    proxy = await FaultProxy.start({ port: server.port });
    admin = await mysql.createConnection({ uri: database.url });
    admin.on("error", () => {});
    here = await startService({ url: proxy.through(database.url), env: { INDEX: "on" } });
    elsewhere = await startService({ url: database.url, env: { INDEX: "on" } });
    await Promise.all([here.indexLoaded(), elsewhere.indexLoaded()]);
    channel = new RawChannel(here.address);
  });
  afterEach(async () => {
    await proxy.heal();
    channel.close();
    await Promise.all([here.stop(), elsewhere.stop()]);
    await proxy.close();
    admin.destroy();
    await database.drop();
  });

  const watch = (start: StartOptions = {}) => Watcher.begin(channel, { start });
  /** Sends syncs until one is proven. */
  const provenAgain = (watcher: Watcher) =>
    until(async () => (await watcher.sync()) === "synced", { withinMs: 2500, what: "there is proof again" });

  for (const [what, inflict] of Object.entries({
    "resets every connection": () => proxy.reset(),
    "swallows every byte": () => proxy.blackhole(),
  })) {
    it(`reports missing proof while it ${what}, and afterwards proves what happened meanwhile`, async () => {
      await revoke(elsewhere, "known");
      const watcher = await watch().complete();
      expect(await watcher.sync()).to.equal("synced");
      inflict();
      const asked = performance.now();
      expect(await watcher.sync()).to.equal("unsynced");
      expect(performance.now() - asked).to.be.below(3500);
      const { response } = await watcher.message((one) => one.response.case === "unsynced");
      expect(response.value).to.include({ reason: "STORE_UNAVAILABLE" });
      await revoke(elsewhere, "meanwhile");
      expect([watcher.has("known"), watcher.has("meanwhile")]).to.deep.equal([true, false]);
      await proxy.heal();
      await provenAgain(watcher);
      expect([watcher.has("known"), watcher.has("meanwhile"), watcher.story[0]]).to.deep.equal([
        true,
        true,
        "snapshot",
      ]);
    });
  }

  it("proves nothing on a server made read-only, and continues when it accepts writes again", async () => {
    const watcher = await watch().complete();
    await admin.query("SET GLOBAL read_only = 1");
    try {
      expect(await watcher.sync()).to.equal("unsynced");
      expect(await watch().ended).to.include({ code: "UNAVAILABLE", reason: "NOT_FRESH" });
    } finally {
      await admin.query("SET GLOBAL read_only = 0");
    }
    await provenAgain(watcher);
    await revoke(elsewhere, "after");
    await watcher.sync();
    expect(watcher.has("after")).to.equal(true);
  });

  it("sends every copy a snapshot of both histories when commits were lost", async () => {
    await revoke(elsewhere, "kept");
    const watcher = await watch().complete();
    const { revision, key } = watcher;
    await revoke(elsewhere, "lost");
    await watcher.sync();
    const lost = watcher.revision;
    expect(watcher.has("lost")).to.equal(true);
    await admin.query("BEGIN");
    await admin.query("SELECT * FROM blacklist_state FOR UPDATE");
    await admin.query("DELETE FROM blacklisted_tokens WHERE jti = 'lost'");
    await admin.query("DELETE FROM blacklist_commits ORDER BY revision DESC LIMIT 1");
    await admin.query("UPDATE blacklist_state SET revision = revision - 1");
    await admin.query("COMMIT");
    const loads = () => here.logs().filter(({ msg }) => msg === "index loaded").length;
    await until(() => loads() === 2, { withinMs: 5000, what: "the index is rebuilt" });
    await revoke(elsewhere, "new");
    for (const cursor of [revision, lost]) {
      const again = watch({ revision: cursor, key });
      expect(await again.sync()).to.equal("synced");
      expect([
        (await again.opened()).snapshot,
        ...["kept", "lost", "new"].map((jti) => again.has(jti)),
      ]).to.deep.equal([true, true, true, true]);
    }
  });
});
