import { setTimeout as delay } from "node:timers/promises";
import { expect } from "chai";
import { Verdict } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import type { ClientError } from "../../src/client/client-error.ts";
import type { RpcClient } from "../../src/client/rpc-client.ts";
import { STORE_TIMEOUT_MS } from "../../src/limits.ts";
import { migrate } from "../../src/start/migrate.ts";
import { parseDatabaseUrl } from "../../src/store/database-url.ts";
import { backends, type FreshDatabase } from "../support/backends.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { FaultyDatabase } from "../support/faulty-database.ts";
import type { PrivateMariadb } from "../support/mariadb.ts";
import { ownMariadb } from "../support/own-mariadb.ts";
import { rejection } from "../support/rejection.ts";
import { revoke } from "../support/revoke.ts";
import { type RunningService, type ServiceOptions, startService } from "../support/service.ts";
import { type ServiceProcess, serveProcess } from "../support/service-process.ts";
import { until } from "../support/until.ts";

const YEAR_2100_MS = 4_102_444_800_000;
const [YES, NO, UNKNOWN] = [Verdict.BLACKLISTED, Verdict.NOT_BLACKLISTED, Verdict.UNKNOWN];
/** The promised recovery time after an outage of the database. */
const RECOVERED_WITHIN_MS = 2000;
const PATIENT = { timeoutMs: 20_000 };

type Freshness = NonNullable<Parameters<RpcClient["isBlacklisted"]>[0]["freshness"]>;
const staleBy = (ms: number): Freshness => ({
  case: "maxStaleness",
  value: { seconds: BigInt(Math.floor(ms / 1000)), nanos: (ms % 1000) * 1_000_000 },
});

async function verdicts(
  client: RpcClient,
  jtis: readonly string[],
  freshness?: Freshness,
): Promise<Verdict[]> {
  const request = { jtis: [...jtis], ...(freshness && { freshness }) };
  return (await client.isBlacklisted(request, PATIENT)).verdicts;
}

/** The verdicts, or the reason of the failure. */
async function told(
  client: RpcClient,
  jtis: readonly string[],
  freshness?: Freshness,
): Promise<Verdict[] | string> {
  return verdicts(client, jtis, freshness).catch((error: ClientError) => `${error.code} ${error.reason}`);
}

const REFUSALS = ["UNAVAILABLE STORE_UNAVAILABLE", "UNAVAILABLE NOT_FRESH"];

/** Runs `round` concurrently and repeatedly, until stopped. */
function repeatedly(places: number, round: (place: number, count: number) => Promise<void>) {
  let stopped = false;
  const running = Promise.all(
    Array.from({ length: places }, async (_, place) => {
      for (let count = 0; !stopped; count++) await round(place, count);
    }),
  );
  return async (): Promise<void> => {
    stopped = true;
    await running;
  };
}

describe("the index on MariaDB", function () {
  this.timeout(120_000);
  let server: PrivateMariadb;
  let database: FaultyDatabase;
  let running: RunningService[];

  before(async function () {
    server = await ownMariadb(this);
  });
  after(() => server?.stop());

  beforeEach(async () => {
    database = await FaultyDatabase.create(server);
    await migrate("up", parseDatabaseUrl(database.url), () => {});
    running = [];
  });
  afterEach(async () => {
    await database.proxy.heal();
    await Promise.all(running.map((one) => one.stop()));
    await database.close();
  });

  async function startOn(
    url: string,
    { loaded = true, ...options }: Omit<ServiceOptions, "url"> & { loaded?: boolean } = {},
  ): Promise<RunningService> {
    const one = await startService({ url, ...options, env: { INDEX: "on", ...options.env } });
    running.push(one);
    if (loaded) await one.indexLoaded();
    return one;
  }

  /** One replica whose database connection can fail, and another whose cannot. */
  async function startTwo(
    options: Omit<ServiceOptions, "url"> = {},
  ): Promise<[RunningService, RunningService]> {
    return [await startOn(database.proxiedUrl, options), await startOn(database.url)];
  }

  const faults: Record<string, () => void> = {
    "resets every connection": () => database.proxy.reset(),
    "swallows every byte": () => database.proxy.blackhole(),
    "takes questions and never answers": () => database.proxy.blackhole("toClient"),
    "is silent, then answers late": () => database.proxy.hold(),
  };
  for (const [what, inflict] of Object.entries(faults)) {
    it(`keeps positives, and returns no negatives, while the database ${what}`, async () => {
      const [{ client }, elsewhere] = await startTwo();
      await revoke(elsewhere, "known");
      expect(await verdicts(client, ["known", "x"])).to.deep.equal([YES, NO]);
      inflict();
      await revoke(elsewhere, "meanwhile");
      const asked = performance.now();
      expect(await verdicts(client, ["known", "known"])).to.deep.equal([YES, YES]);
      expect(performance.now() - asked, "what is known").to.be.below(500);
      const answers = [["x"], ["meanwhile"], ["x", "known", "meanwhile"]].map((jtis) => told(client, jtis));
      const [negative, missed, mixed] = await Promise.all(answers);
      expect(negative).to.be.oneOf(REFUSALS);
      expect(missed).to.be.oneOf(REFUSALS);
      expect(mixed).to.deep.equal([UNKNOWN, YES, UNKNOWN]);
      await database.proxy.heal();
      const recovers = async () => Array.isArray(await told(client, ["x"]));
      await until(recovers, { withinMs: RECOVERED_WITHIN_MS, what: "negatives are answered again" });
      expect(await verdicts(client, ["x", "known", "meanwhile"])).to.deep.equal([NO, YES, YES]);
    });
  }

  it("returns negatives within a staleness of a minute while the database is unavailable, and not for longer", async () => {
    const clock = new FakeClock(Date.now());
    const [{ client }, elsewhere] = await startTwo({ clock });
    await revoke(elsewhere, "known");
    expect(await verdicts(client, ["known", "x"])).to.deep.equal([YES, NO]);
    database.proxy.blackhole();
    const MINUTE = staleBy(60_000);
    const within = await verdicts(client, ["known", "x"], MINUTE);
    clock.advance(60_000);
    const atTheEnd = await verdicts(client, ["known", "x"], MINUTE);
    clock.advance(1);
    const afterwards = Promise.all([told(client, ["x"], MINUTE), told(client, ["known", "x"], MINUTE)]);
    // The next read may be delayed by the pause after a failure.
    const stopTime = repeatedly(1, async () => {
      clock.advance(20);
      await delay(5);
    });
    const [negative, mixed] = await afterwards;
    await stopTime();
    expect([within, atTheEnd, mixed]).to.deep.equal([
      [YES, NO],
      [YES, NO],
      [YES, UNKNOWN],
    ]);
    expect(negative).to.be.oneOf(REFUSALS);
  });

  it("returns no negatives on a server made read-only under load, and does within two seconds afterwards", async () => {
    const [{ client }, elsewhere] = await startTwo();
    /** By the driver's clock. While set, the server has been read-only. */
    let readOnlySince: number | undefined;
    const wrong: string[] = [];
    const counts = { negatives: 0, refused: 0, revoked: 0 };
    const stop = repeatedly(8, async (place, count) => {
      const jti = `${place}-${count}`;
      const revoked = await revoke(elsewhere, jti).then(
        () => true,
        () => false,
      );
      if (revoked) counts.revoked++;
      const since = readOnlySince;
      const answer = await told(client, [jti, "never"]);
      if (typeof answer === "string") {
        counts.refused++;
        if (!REFUSALS.includes(answer)) wrong.push(`${jti}: ${answer}`);
        return;
      }
      if (answer.includes(NO)) counts.negatives++;
      if (revoked && answer[0] !== YES) wrong.push(`${jti} was acknowledged and is told ${answer[0]}`);
      // Read-only from before the request until after the response.
      if (since !== undefined && since === readOnlySince && answer.includes(NO)) {
        wrong.push(`${jti}: ruled out while read-only`);
      }
    });
    try {
      for (let round = 0; round < 3; round++) {
        const target = { negatives: counts.negatives + 30, refused: counts.refused + 30 };
        await until(() => counts.negatives >= target.negatives, { withinMs: 20_000, what: "it answers" });
        await database.admin.query("SET GLOBAL read_only = 1");
        readOnlySince = performance.now();
        await until(() => counts.refused >= target.refused, { withinMs: 20_000, what: "it refuses" });
        readOnlySince = undefined;
        await database.admin.query("SET GLOBAL read_only = 0");
        const recovers = async () => Array.isArray(await told(client, ["never"]));
        await until(recovers, { withinMs: RECOVERED_WITHIN_MS, what: "it answers again" });
        const writes = () =>
          revoke(elsewhere, `after ${round}`).then(
            () => true,
            () => false,
          );
        await until(writes, { withinMs: RECOVERED_WITHIN_MS, what: "it writes again" });
        expect(await verdicts(client, [`after ${round}`, "never"])).to.deep.equal([YES, NO]);
      }
    } finally {
      readOnlySince = undefined;
      await database.admin.query("SET GLOBAL read_only = 0");
      await stop();
    }
    expect(wrong).to.deep.equal([]);
    expect(counts.revoked).to.be.at.least(30);
  });

  const TABLES = ["blacklisted_tokens", "blacklist_commits", "blacklist_state"] as const;
  type Backup = Record<(typeof TABLES)[number], Record<string, unknown>[]>;

  async function backUp(): Promise<Backup> {
    const backup: Partial<Backup> = {};
    for (const table of TABLES) {
      [backup[table]] = (await database.admin.query(`SELECT * FROM ${table}`)) as [
        Record<string, unknown>[],
        unknown,
      ];
    }
    return backup as Backup;
  }

  /** In one transaction, as a restore with a switch-over appears to a service. */
  async function restore(backup: Backup): Promise<void> {
    await database.admin.query("BEGIN");
    await database.admin.query("SELECT * FROM blacklist_state FOR UPDATE");
    for (const table of TABLES) {
      await database.admin.query(`DELETE FROM ${table}`);
      for (const row of backup[table]) await database.admin.query(`INSERT INTO ${table} SET ?`, [row]);
    }
    await database.admin.query("COMMIT");
  }

  for (const [what, writtenAfterwards] of Object.entries({
    "nothing is written afterwards": 0,
    "as much is written afterwards as was lost": 5,
    "more is written afterwards than was lost": 9,
  })) {
    it(`keeps its positives when a backup is restored, and ${what}`, async () => {
      const [here, elsewhere] = await startTwo();
      const { client } = here;
      /** Acknowledged, and either known to this replica or in the current database. */
      const acknowledged: string[] = [];
      for (const jti of ["kept-0", "kept-1"]) {
        await revoke(elsewhere, jti);
        acknowledged.push(jti);
      }
      const backup = await backUp();
      let lost = "";
      for (let count = 0; count < 5; count++) {
        lost = await revoke(count % 2 === 0 ? elsewhere : here, `lost-${count}`);
        expect(await verdicts(client, [`lost-${count}`])).to.deep.equal([YES]);
        acknowledged.push(`lost-${count}`);
      }
      const wrong: string[] = [];
      let checks = 0;
      const stop = repeatedly(4, async (place, count) => {
        const jtis = place < 2 ? [acknowledged[count % acknowledged.length] as string] : [...acknowledged];
        if (place % 2 === 1) jtis.push("never");
        const answer = await told(client, jtis, place === 1 ? staleBy(60_000) : undefined);
        checks++;
        if (typeof answer === "string") {
          if (!REFUSALS.includes(answer)) wrong.push(answer);
          return;
        }
        // A staleness of a minute does not require the last second.
        const young = (jti: string) => place === 1 && jti.startsWith("new");
        wrong.push(...jtis.filter((jti, at) => jti !== "never" && answer[at] === NO && !young(jti)));
      });
      try {
        await restore(backup);
        for (let count = 0; count < writtenAfterwards; count++) {
          await revoke(elsewhere, `new-${count}`);
          acknowledged.push(`new-${count}`);
          expect(await told(client, [`new-${count}`])).not.to.deep.equal([NO]);
        }
        const rebuilt = async () => (await told(client, [...acknowledged, "never"])).at(-1) === NO;
        await until(rebuilt, { withinMs: 10_000, what: "negatives are answered again" });
        const since = checks;
        await until(() => checks >= since + 20, { withinMs: 10_000, what: "20 more checks were answered" });
      } finally {
        await stop();
      }
      expect(wrong).to.deep.equal([]);
      expect(await verdicts(client, [...acknowledged, "never"])).to.deep.equal([
        ...acknowledged.map(() => YES),
        NO,
      ]);
      expect(
        here.logs().filter(({ msg }) => String(msg).startsWith("the database has lost commits")),
      ).to.have.length(1);
      const error = await rejection(
        client.isBlacklisted({ jtis: ["never"], freshness: { case: "atLeastRevision", value: lost } }),
      );
      expect(error).to.include({ code: "FAILED_PRECONDITION", reason: "REVISION_LOST" });
    });
  }

  it("reports REVISION_LOST for a revision that a restored database has lost", async () => {
    const [{ client }, elsewhere] = await startTwo();
    const older = await revoke(elsewhere, "kept");
    await revoke(elsewhere, "kept too");
    const backup = await backUp();
    await revoke(elsewhere, "lost");
    expect(await verdicts(client, ["lost"])).to.deep.equal([YES]);
    await restore(backup);
    const freshness: Freshness = { case: "atLeastRevision", value: older };
    const seen: unknown[] = [];
    const rebuilt = async () => {
      seen.push(await told(client, ["lost", "never"], freshness));
      return Array.isArray(await told(client, ["never"]));
    };
    await until(rebuilt, { withinMs: 10_000, what: "negatives are answered again" });
    seen.push(await told(client, ["lost", "never"], freshness));
    expect(seen.filter((answer) => Array.isArray(answer) && answer[0] !== YES)).to.deep.equal([]);
  });

  describe("with 50,000 entries in the table", () => {
    const COUNT = 50_000;

    beforeEach(async () => {
      const rows = Array.from({ length: COUNT }, (_, index) => {
        const revision = 1 + Math.floor((index + 1) / 2000);
        return `('seed-${index + 1}', ${YEAR_2100_MS}, 0, '', '', ${revision}, ${revision})`;
      });
      await database.admin.query(
        `INSERT INTO blacklisted_tokens (jti, expires_at, created_at, reason, revoked_by, revision, created_revision)
         VALUES ${rows.join()}`,
      );
      await database.admin.query(
        `INSERT INTO blacklist_commits (revision, stamp, committed_at)
         SELECT DISTINCT revision, UNHEX(LPAD(HEX(revision), 16, '0')), ${Date.now()} FROM blacklisted_tokens`,
      );
      await database.admin.query(
        "UPDATE blacklist_state SET revision = (SELECT MAX(revision) FROM blacklist_commits)",
      );
    });

    it("answers correctly from the start, before and after the index is loaded", async () => {
      // Every page takes at least that long, so that loading takes a second.
      database.proxy.latencyMs = 20;
      const service = await startOn(database.proxiedUrl, { loaded: false });
      const asked = ["seed-1", `seed-${COUNT}`, "seed-0", "SEED-1", `seed-${COUNT / 2}`];
      const expected = [YES, YES, NO, NO, YES];
      const isLoaded = () => service.logs().some(({ msg }) => msg === "index loaded");
      const atOnce = await verdicts(service.client, asked);
      expect([atOnce, isLoaded()]).to.deep.equal([expected, false]);
      const elsewhere = await startOn(database.url, { loaded: false });
      const during: string[] = [];
      for (let count = 0; !isLoaded(); count++) {
        await revoke(elsewhere, `during-${count}`);
        during.push(`during-${count}`);
        expect(await verdicts(service.client, [`during-${count}`, ...asked])).to.deep.equal([
          YES,
          ...expected,
        ]);
      }
      database.proxy.latencyMs = 0;
      const every = Array.from({ length: COUNT }, (_, index) => `seed-${index + 1}`).concat(during);
      for (let from = 0; from < every.length; from += 500) {
        const jtis = every.slice(from, from + 500);
        const misses = jtis.map((jti) => `not ${jti}`);
        expect(await verdicts(service.client, [...jtis, ...misses])).to.deep.equal([
          ...jtis.map(() => YES),
          ...misses.map(() => NO),
        ]);
      }
    });

    it("answers correctly, and reports it, if the index overflows", async () => {
      const env = { INDEX_MAX_ENTRIES: "10000" };
      const service = await startOn(database.url, { loaded: false, env });
      const full = () => service.logs().filter(({ msg }) => String(msg).startsWith("the index is full"));
      for (;;) {
        const overflowed = full().length > 0;
        await revoke(service, `new ${overflowed}`);
        expect(
          await verdicts(service.client, ["seed-1", `seed-${COUNT}`, `new ${overflowed}`, "seed-0"]),
        ).to.deep.equal([YES, YES, YES, NO]);
        if (overflowed) break;
      }
      expect(full().map(({ level, max }) => [level, max])).to.deep.equal([["error", 10_000]]);
    });
  });

  describe("in a replica stopped for longer than any timeout", () => {
    let replica: ServiceProcess;
    let other: ServiceProcess;

    beforeEach(async () => {
      replica = await serveProcess({ DATABASE_URL: database.proxiedUrl });
      other = await serveProcess({ DATABASE_URL: database.url });
      await replica.process.line("index loaded");
    });
    afterEach(() => Promise.all([replica, other].map((one) => one?.kill())));

    it("returns no wrong answer when it continues", async () => {
      let asked = 0;
      const stop = repeatedly(8, async () => {
        await told(replica.client, ["never"]);
        asked++;
      });
      try {
        for (let round = 0; round < 3; round++) {
          const target = asked + 50;
          await until(() => asked >= target, { withinMs: 20_000, what: "50 more checks are answered" });
          // Responses to its reads are delayed until it has been stopped.
          if (round % 2 === 0) database.proxy.hold("toClient");
          await replica.process.signal("SIGSTOP");
          await database.proxy.heal();
          const jti = `revoked while it was stopped ${round}`;
          await revoke(other, jti);
          // In its socket when it continues, together with the late responses.
          const early = [told(replica.client, [jti]), told(replica.client, [jti], staleBy(1000))];
          await delay(2 * STORE_TIMEOUT_MS);
          await replica.process.signal("SIGCONT");
          const late = [told(replica.client, [jti]), told(replica.client, [jti], staleBy(1000))];
          for (const answer of await Promise.all([...early, ...late])) {
            if (typeof answer === "string") expect(answer).to.be.oneOf(REFUSALS);
            else expect(answer).to.deep.equal([YES]);
          }
          const recovers = async () => Array.isArray(await told(replica.client, [jti, "never"]));
          await until(recovers, { withinMs: RECOVERED_WITHIN_MS, what: "it answers again" });
          await until(async () => (await told(replica.client, ["never"]))[0] === NO, {
            withinMs: RECOVERED_WITHIN_MS,
            what: "negatives are answered again",
          });
          expect(await verdicts(replica.client, [jti, "never"])).to.deep.equal([YES, NO]);
        }
      } finally {
        await replica.process.signal("SIGCONT");
        await stop();
      }
    });
  });
});

for (const backend of backends) {
  describe(`the index on ${backend.name}`, () => {
    let database: FreshDatabase;
    let service: RunningService | undefined;

    beforeEach(async () => {
      database = await backend.create();
    });
    afterEach(async () => {
      await service?.stop();
      await database.dispose();
    });

    async function startWith(env: Record<string, string>): Promise<RunningService> {
      service = await startService({ url: database.url, env });
      return service;
    }

    for (const index of ["on", "off"]) {
      it(`distinguishes jtis by case, ${index}`, async () => {
        const { client, indexLoaded, logs } = await startWith({ INDEX: index });
        if (index === "on") await indexLoaded();
        await revoke({ client }, "Token-a");
        const asked = ["Token-a", "token-a", "TOKEN-A", "Token-A", "Token-a "];
        const before = await verdicts(client, asked);
        await revoke({ client }, "token-a");
        expect([before, await verdicts(client, asked)]).to.deep.equal([
          [YES, NO, NO, NO, NO],
          [YES, YES, NO, NO, NO],
        ]);
        expect(logs().some(({ msg }) => msg === "index loaded")).to.equal(index === "on");
      });
    }

    it("reports an overflow and answers from the database", async () => {
      const { client, indexLoaded, logs } = await startWith({ INDEX: "on", INDEX_MAX_ENTRIES: "3" });
      await indexLoaded();
      const known: string[] = [];
      const full = () => logs().filter(({ msg }) => String(msg).startsWith("the index is full"));
      const before: number[] = [];
      for (let count = 0; count < 6; count++) {
        await revoke({ client }, `t${count}`);
        known.push(`t${count}`);
        expect(await verdicts(client, [...known, "never", "T0"])).to.deep.equal([
          ...known.map(() => YES),
          NO,
          NO,
        ]);
        before.push(full().length);
      }
      expect(before).to.deep.equal([0, 0, 0, 1, 1, 1]);
      expect(full().map(({ level, entries, max }) => [level, entries, max])).to.deep.equal([["error", 4, 3]]);
    });
  });
}
