import { expect } from "chai";
import mysql, { type Connection } from "mysql2/promise";
import { Verdict } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { migrate } from "../../src/start/migrate.ts";
import { parseDatabaseUrl } from "../../src/store/database-url.ts";
import { Asker, type Outcome, type QuestionInit } from "../support/asker.ts";
import { FaultProxy } from "../support/fault-proxy.ts";
import type { PrivateMariadb } from "../support/mariadb.ts";
import type { TestDatabase } from "../support/mysql-database.ts";
import { ownMariadb } from "../support/own-mariadb.ts";
import { RawChannel } from "../support/raw-channel.ts";
import { type RunningService, startService } from "../support/service.ts";
import { ends } from "../support/stream-end.ts";
import { until } from "../support/until.ts";

const YEAR_2100 = { seconds: 4_102_444_800n };
const { BLACKLISTED, NOT_BLACKLISTED, UNKNOWN } = Verdict;

async function revoke({ client }: RunningService, jti: string): Promise<string> {
  const tokens = [{ token: { case: "jti" as const, value: jti }, expiresAt: YEAR_2100 }];
  return (await client.blacklist({ tokens }, { timeoutMs: 20_000 })).revision;
}

const told = (outcome: Outcome) => {
  if (outcome === "unanswered") return outcome;
  return "verdicts" in outcome
    ? outcome.verdicts
    : `${outcome.code} ${outcome.reason} ${outcome.retryAfterMs}`;
};

describe("StreamChecks while the database fails", function () {
  this.timeout(60_000);
  let server: PrivateMariadb;
  let database: TestDatabase;
  let proxy: FaultProxy;
  let admin: Connection;
  /** Its database connection can fail. */
  let here: RunningService;
  let elsewhere: RunningService;
  let channel: RawChannel;
  let asker: Asker;

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
    asker = new Asker(channel);
  });
  afterEach(async () => {
    await proxy.heal();
    channel.close();
    await Promise.all([here.stop(), elsewhere.stop()]);
    await proxy.close();
    admin.destroy();
    await database.drop();
  });

  const ask = async (question: QuestionInit, timeoutMs?: number) =>
    told(await asker.ask(question, timeoutMs === undefined ? {} : { timeoutMs }));
  /** Asks on the same stream until there is a response. */
  const answeredAgain = (jtis: string[], verdicts: Verdict[]) =>
    until(async () => String(await ask({ jtis })) === String(verdicts), {
      withinMs: 2500,
      what: "questions are answered again",
    });

  const AWAY = "UNAVAILABLE STORE_UNAVAILABLE 500";

  for (const [what, inflict] of Object.entries({
    "resets every connection": () => proxy.reset(),
    "swallows every byte": () => proxy.blackhole(),
  })) {
    it(`answers known positives while it ${what}, refuses the rest one by one, and answers on the same stream afterwards`, async () => {
      await revoke(here, "known");
      expect(await ask({ jtis: ["known", "never"] })).to.deep.equal([BLACKLISTED, NOT_BLACKLISTED]);
      inflict();
      await revoke(elsewhere, "meanwhile");
      const asked = performance.now();
      const seen = await Promise.all([
        ask({ jtis: ["known", "never"] }),
        ask({ jtis: ["never"] }),
        ask({ jtis: ["meanwhile"] }),
        ask({ jtis: ["meanwhile", "known"] }),
        ask({ jtis: ["known"] }),
      ]);
      expect(seen).to.deep.equal([[BLACKLISTED, UNKNOWN], AWAY, AWAY, [UNKNOWN, BLACKLISTED], [BLACKLISTED]]);
      expect(performance.now() - asked).to.be.below(5000);
      await proxy.heal();
      await answeredAgain(["known", "meanwhile", "never"], [BLACKLISTED, BLACKLISTED, NOT_BLACKLISTED]);
      expect(await asker.done()).to.deep.equal(ends("OK"));
    });
  }

  it("times out a question by itself, without a late response", async () => {
    expect(await ask({ jtis: ["a"] })).to.deep.equal([NOT_BLACKLISTED]);
    const before = asker.answered.length;
    proxy.hold();
    const began = performance.now();
    const hasty = asker.ask({ jtis: ["a"] }, { timeoutMs: 200 });
    const patient = asker.ask({ jtis: ["b"] }, { timeoutMs: 30_000 });
    expect(told(await hasty)).to.equal("DEADLINE_EXCEEDED DEADLINE_EXCEEDED undefined");
    expect(performance.now() - began).to.be.within(199, 1400);
    expect(asker.waiting).to.equal(1);
    await proxy.heal();
    expect(told(await patient)).to.be.deep.oneOf([[NOT_BLACKLISTED], AWAY]);
    await answeredAgain(["a"], [NOT_BLACKLISTED]);
    // Each has one response.
    const { answered } = asker;
    expect([new Set(answered).size, answered.length > before + 2]).to.deep.equal([answered.length, true]);
    expect(await asker.done()).to.deep.equal(ends("OK"));
  });

  it("refuses as NOT_FRESH what a read-only server may not know, and continues when it accepts writes again", async () => {
    await revoke(elsewhere, "known");
    expect(await ask({ jtis: ["known"] })).to.deep.equal([BLACKLISTED]);
    await admin.query("SET GLOBAL read_only = 1");
    try {
      expect(await ask({ jtis: ["never"] })).to.equal("UNAVAILABLE NOT_FRESH 500");
      expect(await ask({ jtis: ["known", "never"] })).to.deep.equal([BLACKLISTED, UNKNOWN]);
    } finally {
      await admin.query("SET GLOBAL read_only = 0");
    }
    await answeredAgain(["never"], [NOT_BLACKLISTED]);
    expect(await asker.done()).to.deep.equal(ends("OK"));
  });

  it("is never stale after an outage: the first response includes revocations made elsewhere meanwhile", async () => {
    for (let round = 0; round < 5; round++) {
      expect(await ask({ jtis: [`gone-${round}`] })).to.deep.equal([NOT_BLACKLISTED]);
      proxy.reset();
      await revoke(elsewhere, `gone-${round}`);
      const seen: unknown[] = [];
      const back = until(
        async () => {
          const outcome = await ask({ jtis: [`gone-${round}`] });
          if (Array.isArray(outcome)) seen.push(outcome);
          else expect(outcome).to.equal(AWAY);
          return seen.length > 0;
        },
        { withinMs: 5000, what: "there is an answer" },
      );
      await proxy.heal();
      await back;
      expect(seen).to.deep.equal([[BLACKLISTED]]);
    }
    asker.cancel();
  });
});
