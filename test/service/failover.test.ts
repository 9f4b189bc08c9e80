import { expect } from "chai";
import mysql, { type Connection, type RowDataPacket } from "mysql2/promise";
import { Verdict } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import type { ClientError } from "../../src/client/client-error.ts";
import { migrate } from "../../src/start/migrate.ts";
import { parseDatabaseUrl } from "../../src/store/database-url.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { FaultProxy } from "../support/fault-proxy.ts";
import type { PrivateMariadb } from "../support/mariadb.ts";
import { databaseUrl, type TestDatabase } from "../support/mysql-database.ts";
import { ownMariadb } from "../support/own-mariadb.ts";
import { revoke } from "../support/revoke.ts";
import { type RunningService, startService } from "../support/service.ts";
import { until } from "../support/until.ts";

const [YES, NO, UNKNOWN] = [Verdict.BLACKLISTED, Verdict.NOT_BLACKLISTED, Verdict.UNKNOWN];
const PATIENT = { timeoutMs: 20_000 };
const REFUSALS = ["UNAVAILABLE STORE_UNAVAILABLE", "UNAVAILABLE NOT_FRESH"];
const TABLES = ["blacklisted_tokens", "blacklist_commits", "blacklist_state"] as const;

/** The verdicts, or the reason of the failure. */
async function told({ client }: RunningService, ...jtis: string[]): Promise<Verdict[] | string> {
  return client.isBlacklisted({ jtis }, PATIENT).then(
    ({ verdicts }) => verdicts,
    (error: ClientError) => `${error.code} ${error.reason}`,
  );
}

describe("a replica after a failover to a server without the last commits", function () {
  this.timeout(120_000);
  let primary: PrivateMariadb;
  let standby: PrivateMariadb;
  let database: TestDatabase;
  let proxy: FaultProxy;
  let clock: FakeClock;
  let running: RunningService[];

  before(async function () {
    primary = await ownMariadb(this);
    standby = await ownMariadb(this);
  });
  after(async () => {
    await primary?.stop();
    await standby?.stop();
  });

  beforeEach(async () => {
    database = await primary.createDatabase();
    proxy = await FaultProxy.start({ port: primary.port });
    clock = new FakeClock(Date.now());
    running = [];
  });
  afterEach(async () => {
    await Promise.all(running.map((one) => one.stop()));
    await proxy.close();
    await primary.restart();
  });

  /** Makes only the requested reads: its clock, which triggers the monitor, stands still. */
  async function startReplica(index: "on" | "off"): Promise<RunningService> {
    const replica = await startService({ url: proxy.through(database.url), clock, env: { INDEX: index } });
    running.push(replica);
    if (index === "on") await replica.indexLoaded();
    return replica;
  }

  /** Copies everything to the standby. */
  async function replicate(): Promise<string> {
    const { name } = database;
    const url = databaseUrl(standby.url(), name);
    const [from, to] = await Promise.all(
      [database.url, standby.url()].map((uri) => mysql.createConnection(uri)),
    );
    try {
      await (to as Connection).query(`CREATE DATABASE ${name}`);
      await migrate("up", parseDatabaseUrl(url), () => {});
      for (const table of TABLES) {
        const [rows] = await (from as Connection).query<RowDataPacket[]>(`SELECT * FROM ${table}`);
        await (to as Connection).query(`DELETE FROM ${name}.${table}`);
        for (const row of rows) await (to as Connection).query(`INSERT INTO ${name}.${table} SET ?`, [row]);
      }
    } finally {
      from?.destroy();
      to?.destroy();
    }
    return url;
  }

  /** Stops the primary; new connections reach the standby. */
  async function failOver(): Promise<void> {
    await primary.kill();
    proxy.aim(standby.port);
    proxy.cut();
  }

  /** Advances the clock for retries and the monitor until `isSo`. */
  const eventually = (what: string, isSo: () => Promise<boolean>) =>
    until(
      async () => {
        clock.advance(50);
        return isSo();
      },
      { withinMs: 20_000, what },
    );

  const lossesLogged = (replica: RunningService) =>
    replica.logs().filter(({ level, msg }) => level === "error" && /has lost commits/.test(String(msg)));

  for (const [what, writtenSince] of Object.entries({
    "with no later writes there": 0,
    "with as many later writes there": 1,
    "with more later writes there": 3,
  })) {
    it(`keeps what it acknowledged, ${what}, and returns no negatives until the index is rebuilt`, async () => {
      const replica = await startReplica("on");
      await revoke(replica, "kept");
      expect(await told(replica, "kept", "never")).to.deep.equal([YES, NO]);
      const url = await replicate();
      await revoke(replica, "lost");
      await failOver();
      const elsewhere = await startService({ url, env: { INDEX: "off" } });
      running.push(elsewhere);
      for (let count = 0; count < writtenSince; count++) await revoke(elsewhere, `new-${count}`);
      expect(await told(replica, "lost")).to.deep.equal([YES]);
      expect(await told(replica, "never")).to.be.oneOf(REFUSALS);
      const answers: unknown[] = [];
      await eventually("negatives are answered again", async () => {
        answers.push(await told(replica, "lost"));
        return Array.isArray(await told(replica, "never"));
      });
      const fresh = Array.from({ length: writtenSince }, (_, count) => `new-${count}`);
      expect(answers.filter((one) => JSON.stringify(one) !== JSON.stringify([YES]))).to.deep.equal([]);
      expect(await told(replica, "kept", "lost", "never", ...fresh)).to.deep.equal([
        YES,
        YES,
        NO,
        ...fresh.map(() => YES),
      ]);
      expect(lossesLogged(replica)).to.have.length(1);
    });
  }

  it("returns no negatives without an index, since the lost entries are nowhere else", async () => {
    const replica = await startReplica("off");
    await revoke(replica, "kept");
    const url = await replicate();
    await revoke(replica, "lost");
    expect(await told(replica, "kept", "lost", "never")).to.deep.equal([YES, YES, NO]);
    await failOver();
    const elsewhere = await startService({ url, env: { INDEX: "off" } });
    running.push(elsewhere);
    const answers: unknown[] = [];
    for (let count = 0; count < 3; count++) {
      answers.push(await told(replica, "lost"), await told(replica, "never"));
      await revoke(elsewhere, `new-${count}`);
    }
    for (const answer of answers) expect(answer).to.be.oneOf(REFUSALS);
    await eventually("it is reached again", async () => Array.isArray(await told(replica, "kept", "lost")));
    await revoke(replica, "ours");
    expect(await told(replica, "kept", "lost", "never", "new-2", "ours")).to.deep.equal([
      YES,
      UNKNOWN,
      UNKNOWN,
      YES,
      YES,
    ]);
    await eventually("it says so", async () => {
      const said = replica.logs().filter(({ level }) => level === "error");
      return said.some(({ err }) =>
        /lacks commits that this replica has acknowledged/.test(JSON.stringify(err)),
      );
    });
    expect((await fetch(`${replica.adminUrl}/readyz`)).status).to.equal(503);
  });
});
