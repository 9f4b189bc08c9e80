import { expect } from "chai";
import type { RowDataPacket } from "mysql2/promise";
import { migrate } from "../../src/start/migrate.ts";
import { parseDatabaseUrl } from "../../src/store/database-url.ts";
import type { PrivateMariadb } from "../support/mariadb.ts";
import { ownMariadb } from "../support/own-mariadb.ts";
import { reasonOf } from "../support/rejection.ts";
import { SilentRollback } from "../support/silent-rollback.ts";
import { at, entry, expiryContext, HOUR, query } from "./open-test-store.ts";
import { StoreStage } from "./store-stage.ts";

/** The statements of a commit after which a rollback has an effect. */
const BEFORE = {
  "its number is noted": "SET @",
  "the entries are written": "INSERT INTO blacklisted_tokens",
  "its own row is written": "INSERT INTO blacklist_commits",
  "it ends": "COMMIT",
};

describe("a commit on MySQL", function () {
  this.timeout(60_000);
  let server: PrivateMariadb;
  let stage: StoreStage;

  before(async function () {
    server = await ownMariadb(this);
  });

  after(async () => {
    await server?.stop();
  });

  beforeEach(async () => {
    stage = await StoreStage.on(server);
  });

  afterEach(() => stage.close());

  async function rowsOf<T>(sql: string): Promise<T[]> {
    const [rows] = await stage.admin.query<RowDataPacket[]>(sql);
    return rows as T[];
  }

  /** Everything in the database, read without a store: every entry with its revision, every commit, and the last revision. */
  async function stored() {
    const entries = await rowsOf<{ jti: Buffer; revision: number }>(
      "SELECT jti, revision FROM blacklisted_tokens ORDER BY jti",
    );
    const commits = await rowsOf<{ revision: number; stamp: string }>(
      "SELECT revision, LOWER(HEX(stamp)) AS stamp FROM blacklist_commits WHERE revision > 0 ORDER BY revision",
    );
    const [state] = await rowsOf<{ revision: number }>("SELECT revision FROM blacklist_state");
    return {
      entries: entries.map(({ jti, revision }) => [jti.toString(), revision]),
      commits: commits.map(({ revision, stamp }) => ({ number: revision, stamp })),
      last: state?.revision,
    };
  }

  describe("whose transaction the server rolls back without an error", () => {
    for (const [moment, statement] of Object.entries(BEFORE)) {
      it(`before ${moment}, is acknowledged only once it is stored, whole`, async () => {
        const { store } = await stage.openProxied();
        await store.write([entry("there", { expiresAt: at(Date.now() + 9 * HOUR) })], expiryContext());
        const before = await stored();
        const rollback = new SilentRollback(stage.proxy);
        rollback.inflict(statement, 1);
        const outcome = await store
          .write([entry("new"), entry("there")], expiryContext())
          .catch(() => undefined);
        expect(rollback.done).to.equal(1);
        // The reported result, and the stored one.
        expect([outcome?.results.map((result) => result.outcome), await stored()]).to.deep.equal(
          outcome === undefined
            ? [undefined, before]
            : [
                ["created", "unchanged"],
                {
                  entries: [
                    ["new", 2],
                    ["there", 1],
                  ],
                  commits: [...before.commits, outcome.revision],
                  last: 2,
                },
              ],
        );
        await stage.proxy.heal();
        expect((await store.write([entry("later")], expiryContext())).results[0]?.outcome).to.equal(
          "created",
        );
      });

      it(`before ${moment}, every time, fails as unavailable after a bounded number of attempts, and stores nothing`, async () => {
        const { store } = await stage.openProxied();
        await store.write([entry("there")], expiryContext());
        const before = await stored();
        const rollback = new SilentRollback(stage.proxy);
        rollback.inflict(statement, 1000);
        const began = performance.now();
        const extended = entry("there", { expiresAt: at(Date.now() + 9 * HOUR) });
        expect([
          await reasonOf(store.write([entry("new")], expiryContext())),
          await reasonOf(store.write([entry("new"), extended], expiryContext())),
          await stored(),
        ]).to.deep.equal(["STORE_UNAVAILABLE", "STORE_UNAVAILABLE", before]);
        expect(rollback.done).to.be.within(2, 20);
        expect(performance.now() - began).to.be.below(3000);
        await stage.proxy.heal();
        const { results } = await store.write([entry("new"), extended], expiryContext());
        expect(results.map(({ outcome }) => outcome)).to.deep.equal(["created", "extended"]);
      });
    }

    it("has exactly one creator when another store writes the same entry meanwhile", async () => {
      const { store: unlucky } = await stage.openProxied();
      const { store: sound } = await stage.open();
      const rollback = new SilentRollback(stage.proxy);
      for (let round = 0; round < 10; round++) {
        rollback.inflict("COMMIT", 1);
        const name = `contested ${round}`;
        const writes = [unlucky, sound].map((store) => store.write([entry(name)], expiryContext()));
        const outcomes = (await Promise.all(writes)).map(({ results }) => results[0]?.outcome).sort();
        expect(outcomes, name).to.deep.equal(["created", "unchanged"]);
      }
      expect(rollback.done).to.equal(10);
    });
  });

  it("does not include the statements of an earlier packet that failed half-way", async () => {
    const { store } = await stage.openProxied();
    await stage.admin.query(
      `CREATE TRIGGER half_way BEFORE INSERT ON blacklisted_tokens FOR EACH ROW
       IF NEW.jti = 'bad' THEN SIGNAL SQLSTATE '22001' SET MYSQL_ERRNO = 1406; END IF`,
    );
    for (let round = 0; round < 3; round++) {
      // Together on one connection: the next packet is sent before the failure of the first is known.
      const names = ["bad", `b${round}`, `c${round}`];
      await Promise.allSettled(names.map((name) => store.write([entry(name)], expiryContext())));
    }
    const { commits, last, entries } = await stored();
    expect(commits.map(({ number }) => number)).to.deep.equal(
      Array.from({ length: last ?? 0 }, (_, index) => index + 1),
    );
    expect(entries.length).to.equal(6);
  });

  it("leaves no open transaction, and no table that cannot be altered, after reads", async () => {
    const { store } = await stage.open();
    await store.write([entry("a")], expiryContext());
    await store.write([entry("a"), entry("b")], expiryContext());
    await stage.admin.query("SET SESSION lock_wait_timeout = 1");
    for (const table of ["blacklisted_tokens", "blacklist_commits", "blacklist_state"]) {
      await stage.admin.query(`ALTER TABLE ${table} COMMENT = 'altered'`);
    }
  });

  for (const setting of ["completion_type = 1", "completion_type = 2", "autocommit = 0"]) {
    it(`is stored like everything else if the server's ${setting}`, async () => {
      const [variable] = setting.split(" ");
      const [before] = await rowsOf<{ value: unknown }>(`SELECT @@global.${variable} AS value`);
      await stage.admin.query(`SET GLOBAL ${setting}`);
      try {
        expect(await migrate("up", parseDatabaseUrl(stage.url), () => {})).to.equal(true);
        const { store } = await stage.open();
        const over = at(Date.now() - 3 * HOUR);
        await store.write([entry("over", { expiresAt: over })], expiryContext(over - HOUR));
        const first = entry("a");
        await store.write([first], expiryContext());
        await store.write([first, entry("b")], expiryContext());
        const prune = {
          ...expiryContext(),
          retentionMs: 0,
          limit: 10,
          expiredBefore: undefined,
          dryRun: false,
        };
        expect(await store.prune(prune)).to.deep.equal({ count: 1, hasMore: false });
        const { entries, commits } = await stored();
        expect([entries, commits.length, (await store.list(query({}))).entries.length]).to.deep.equal([
          [
            ["a", 2],
            ["b", 3],
          ],
          3,
          2,
        ]);
      } finally {
        await stage.admin.query(`SET GLOBAL ${variable} = ?`, [before?.value]);
      }
    });
  }

  it("of a migration that is rolled back without an error is detected: nothing is reported as applied", async () => {
    stage.proxy.onClientData = (chunk) => {
      // MySQL has the number of the query's attributes between the command and its text.
      const [, command] = /^(\W+)COMMIT;?$/i.exec(chunk.toString("latin1", 4)) ?? [];
      if (command === undefined) return true;
      const packet = `${command}ROLLBACK`;
      return Buffer.from(`${String.fromCharCode(packet.length)}\0\0\0${packet}`, "latin1");
    };
    const said: string[] = [];
    const up = (where: string) => migrate("up", parseDatabaseUrl(where), (line) => void said.push(line));
    expect(await reasonOf(up(stage.proxiedUrl))).to.equal("STORE_UNAVAILABLE");
    expect(said).to.deep.equal([]);
    await stage.proxy.heal();
    // Its lock is still held: the release has been rolled back, too.
    await migrate("unlock", parseDatabaseUrl(stage.url), () => {});
    expect(await up(stage.url)).to.equal(true);
    const { store } = await stage.open();
    expect((await store.write([entry("a")], expiryContext())).results[0]?.outcome).to.equal("created");
  });
});
