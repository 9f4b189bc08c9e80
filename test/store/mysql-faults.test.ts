import { setTimeout as delay } from "node:timers/promises";
import { expect } from "chai";
import { STORE_TIMEOUT_MS } from "../../src/limits.ts";
import { migrate } from "../../src/start/migrate.ts";
import { parseDatabaseUrl } from "../../src/store/database-url.ts";
import type { Changes, Store } from "../../src/store/store.ts";
import type { PrivateMariadb } from "../support/mariadb.ts";
import { ownMariadb } from "../support/own-mariadb.ts";
import { reasonOf } from "../support/rejection.ts";
import { until } from "../support/until.ts";
import { at, entry, expiryContext, HOUR, jti, openTestStore } from "./open-test-store.ts";
import { StoreStage } from "./store-stage.ts";

const PACKET = "UPDATE blacklist_state SET revision";

describe("the store when MySQL or the network fails", function () {
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

  /** The entries in the database, read without a store. */
  async function stored(): Promise<string[]> {
    const [rows] = await stage.admin.query("SELECT jti FROM blacklisted_tokens ORDER BY jti");
    return (rows as { jti: Buffer }[]).map((row) => row.jti.toString());
  }

  /** Transactions in that state. InnoDB refreshes the table only if it has not been read for a tenth of a second. */
  async function transactions(state: "LOCK WAIT" | "%"): Promise<number> {
    await delay(110);
    const [rows] = await stage.admin.query(
      "SELECT count(*) AS n FROM information_schema.innodb_trx WHERE trx_state LIKE ?",
      [state],
    );
    return (rows as { n: number }[])[0]?.n ?? 0;
  }

  async function recovered(store: Store, withinMs = 2000): Promise<void> {
    const works = () =>
      store.write([entry("recovery")], expiryContext()).then(
        () => true,
        () => false,
      );
    await until(works, { withinMs, what: "a write succeeds again" });
  }

  describe("a commit whose response is lost", () => {
    /** Cuts the connection when the response to each of the next `count` write packets begins to arrive: most of them are committed by then. */
    function loseAnswers(count: number): void {
      let lost = 0;
      let sent = false;
      stage.proxy.onClientData = (chunk) => {
        sent ||= chunk.includes(PACKET);
        return true;
      };
      stage.proxy.onServerData = () => {
        if (!sent || lost === count) return true;
        sent = false;
        lost++;
        return false;
      };
    }

    for (const count of [1, 2, 4]) {
      it(`is retried, and still returns who created each entry (${count} in a row)`, async () => {
        const { store } = await stage.openProxied();
        await store.write(
          [
            entry("there", { expiresAt: at(Date.now() + HOUR), reason: "first" }),
            entry("short", { expiresAt: at(Date.now() + HOUR) }),
          ],
          expiryContext(),
        );
        loseAnswers(count);
        const { results } = await store.write(
          [
            entry("new"),
            entry("there", { expiresAt: at(1e12) }),
            entry("short", { expiresAt: at(Date.now() + 2 * HOUR) }),
          ],
          expiryContext(),
        );
        expect(results.map((result) => [result.entry.key, result.outcome])).to.deep.equal([
          ["new", "created"],
          ["there", "unchanged"],
          ["short", "extended"],
        ]);
      });
    }

    it("has exactly one creator among many callers of two services, one of which loses responses", async () => {
      const { store: lossy } = await stage.openProxied();
      const { store: sound } = await stage.open();
      for (let round = 0; round < 10; round++) {
        loseAnswers(1);
        const name = `contested ${round}`;
        const writes = Array.from({ length: 24 }, (_, index) =>
          (index % 2 === 0 ? lossy : sound).write([entry(name)], expiryContext()),
        );
        const outcomes = (await Promise.all(writes)).map(({ results }) => results[0]?.outcome);
        expect(
          outcomes.filter((outcome) => outcome === "created"),
          name,
        ).to.have.length(1);
      }
    });

    it("may still be in flight when it is retried, and is applied once", async () => {
      const { store } = await stage.openProxied();
      await stage.admin.query("BEGIN");
      await stage.admin.query("SELECT * FROM blacklist_state WHERE id = 1 FOR UPDATE");
      const write = store.write([entry("a", { reason: "once" })], expiryContext());
      await until(async () => (await transactions("LOCK WAIT")) === 1, {
        withinMs: 5000,
        what: "the first packet waits for the lock",
      });
      stage.proxy.cut();
      await until(async () => (await transactions("LOCK WAIT")) === 2, {
        withinMs: 5000,
        what: "the retry waits behind it",
      });
      await stage.admin.query("COMMIT");
      const { results } = await write;
      expect([results.map(({ outcome }) => outcome), await stored()]).to.deep.equal([["created"], ["a"]]);
    });

    it("fails as unavailable after a bounded number of attempts", async () => {
      const { store } = await stage.openProxied();
      loseAnswers(1000);
      const lost = entry("a");
      expect(await reasonOf(store.write([lost], expiryContext()))).to.equal("STORE_UNAVAILABLE");
      await stage.proxy.heal();
      // A server that notices the cut before the COMMIT stores nothing.
      await until(async () => (await transactions("%")) === 0, {
        withinMs: 5000,
        what: "no commit is in flight",
      });
      const isThere = (await stored()).length > 0;
      const { results } = await store.write([lost], expiryContext());
      expect(results[0]?.outcome).to.equal(isThere ? "unchanged" : "created");
    });
  });

  it("returns a revision that includes the returned entries, even if another writer has changed one since the commit", async () => {
    const { store } = await stage.openProxied();
    const { store: other } = await stage.open();
    await store.write([entry("a")], expiryContext());
    let sent = false;
    let committed = false;
    stage.proxy.onClientData = (chunk) => {
      sent ||= chunk.includes(PACKET);
      return true;
    };
    // The store's next statement, which reads the current row, is delayed.
    stage.proxy.onServerData = () => {
      if (sent && !committed) stage.proxy.hold("toServer");
      committed ||= sent;
      return true;
    };
    const repeat = store.write([entry("a")], expiryContext());
    await until(() => committed, { withinMs: 5000, what: "the commit is answered" });
    const later = at(Date.now() + 9 * HOUR);
    const { revision } = await other.write([entry("a", { expiresAt: later })], expiryContext());
    await stage.proxy.heal();
    const answer = await repeat;
    expect([answer.revision, answer.results[0]?.entry.expiresAt]).to.deep.equal([revision, later]);
  });

  it("retries a write after a deadlock", async () => {
    const { store } = await stage.open();
    await store.write([entry("row")], expiryContext());
    await stage.admin.query("CREATE TABLE ballast (id INT PRIMARY KEY)");
    await stage.admin.query("BEGIN");
    // InnoDB rolls back the transaction with fewer changes: this one has more.
    await stage.admin.query(
      `INSERT INTO ballast VALUES ${Array.from({ length: 500 }, (_, id) => `(${id})`).join()}`,
    );
    await stage.admin.query("SELECT * FROM blacklisted_tokens WHERE jti = 'row' FOR UPDATE");
    const write = store.write([entry("row", { expiresAt: at(Date.now() + 9 * HOUR) })], expiryContext());
    await until(async () => (await transactions("LOCK WAIT")) === 1, {
      withinMs: 5000,
      what: "the write waits for the row",
    });
    await stage.admin.query("UPDATE blacklist_state SET leeway_ms = leeway_ms + 1 WHERE id = 1");
    await stage.admin.query("COMMIT");
    const [deadlocks] = await stage.admin.query("SHOW ENGINE INNODB STATUS");
    expect((deadlocks as { Status: string }[])[0]?.Status).to.include("LATEST DETECTED DEADLOCK");
    expect((await write).results[0]?.outcome).to.equal("extended");
  });

  it("leaves no open transaction after a lock timeout, and succeeds once the lock is free", async () => {
    const { store } = await stage.open();
    await stage.admin.query("BEGIN");
    await stage.admin.query("SELECT * FROM blacklist_state WHERE id = 1 FOR UPDATE");
    expect(await reasonOf(store.write([entry("a")], expiryContext()))).to.equal("STORE_UNAVAILABLE");
    await until(async () => (await transactions("%")) === 1, {
      withinMs: 3000,
      what: "only the test's own transaction is open",
    });
    await stage.admin.query("COMMIT");
    expect((await store.write([entry("a")], expiryContext())).results[0]?.outcome).to.equal("created");
  });

  it("writes nothing on a server that becomes read-only, reports it with reads, and continues once it is writable", async () => {
    const { store } = await stage.open();
    await store.write([entry("before")], expiryContext());
    await stage.admin.query("SET GLOBAL read_only = 1");
    try {
      expect(await reasonOf(store.write([entry("during")], expiryContext()))).to.equal("STORE_UNAVAILABLE");
      const { writable, found } = await store.read([jti("before"), jti("during")]);
      expect([writable, [...found.keys()], await stored()]).to.deep.equal([false, ["before"], ["before"]]);
    } finally {
      await stage.admin.query("SET GLOBAL read_only = 0");
    }
    await recovered(store);
    expect((await store.read([])).writable).to.equal(true);
  });

  it("reconnects for the next read after a server has refused a write, since another may have taken its place", async () => {
    const { store } = await stage.openProxied();
    const tail = store.openTail();
    const read = async () => [
      (await tail.changes({ revision: 0, key: new Uint8Array() }, undefined)).writable,
      (await store.read([])).writable,
    ];
    const before = await read();
    const { accepted } = stage.proxy.counts;
    await stage.admin.query("SET GLOBAL read_only = 1");
    try {
      expect([before, await read(), await read(), stage.proxy.counts.accepted > accepted + 1]).to.deep.equal([
        [true, true],
        [false, false],
        [false, false],
        true,
      ]);
    } finally {
      await stage.admin.query("SET GLOBAL read_only = 0");
    }
    expect(await read()).to.deep.equal([true, true]);
  });

  it("neither reads nor writes once another database is at the address", async () => {
    const { store } = await stage.open();
    await store.write([entry("a")], expiryContext());
    await stage.admin.query("UPDATE blacklist_state SET generation = x'00000000000000000000000000000000'");
    expect([
      await reasonOf(store.read([jti("a")])),
      await reasonOf(store.write([entry("b")], expiryContext())),
    ]).to.deep.equal(["STORE_UNAVAILABLE", "STORE_UNAVAILABLE"]);
    expect(await stored()).to.deep.equal(["a"]);
  });

  it("refuses an outdated schema, and names the command to run", async () => {
    await stage.open();
    await stage.admin.query("DELETE FROM blacklist_migrations ORDER BY id DESC LIMIT 1");
    const { openStore } = await import("../../src/store/open-store.ts");
    const { parseDatabaseUrl } = await import("../../src/store/database-url.ts");
    const { systemClock } = await import("../../src/time/clock.ts");
    const store = openStore(parseDatabaseUrl(stage.url), { clock: systemClock, leewayMs: 0 });
    const message = await store.open().catch((error: Error) => error.message);
    await store.close();
    expect(message).to.match(/out of date.*token-blacklist migrate up/);
  });

  it("lets a migration wait longer than a login may, since a busy server is no reason to stop half-way", async () => {
    stage.proxy.hold();
    const migrated = migrate("up", parseDatabaseUrl(stage.proxiedUrl), () => {});
    await Promise.race([migrated, delay(STORE_TIMEOUT_MS + 500)]);
    await stage.proxy.heal();
    expect(await migrated).to.equal(true);
  });

  it("continues to serve checks and revocations while List and Prune use every connection of the pool", async () => {
    const { store, engine } = await stage.open();
    const busy = Promise.allSettled(Array.from({ length: 4 }, () => engine.knex.raw("SELECT SLEEP(2)")));
    const began = performance.now();
    await store.write([entry("a")], expiryContext());
    await store.read([jti("a")]);
    expect(performance.now() - began).to.be.below(1000);
    await busy;
  });

  describe("the tail", () => {
    const BEGINNING = { revision: 0, key: new Uint8Array() };
    const namesOf = ({ entries }: Changes) => entries.map((one) => Buffer.from(one.key).toString());

    it("returns a delayed commit, and those that waited for it, in order; no read waits meanwhile", async () => {
      const { store } = await stage.open();
      const other = await stage.open();
      const tail = other.store.openTail();
      const { revision } = await store.write([entry("first")], expiryContext());
      // A commit of another replica, stopped just before its end.
      await stage.admin.query("BEGIN");
      await stage.admin.query("UPDATE blacklist_state SET revision = revision + 1 WHERE id = 1");
      await stage.admin.query(
        "INSERT INTO blacklist_commits SELECT revision, x'00000000000000aa', 0 FROM blacklist_state WHERE id = 1",
      );
      await stage.admin.query(
        `INSERT INTO blacklisted_tokens SELECT 'held', ${Date.now() + HOUR}, 0, '', '', revision, revision FROM blacklist_state WHERE id = 1`,
      );
      const later = store.write([entry("later")], expiryContext());
      await until(async () => (await transactions("LOCK WAIT")) === 1, {
        withinMs: 5000,
        what: "the later writer waits",
      });
      const began = performance.now();
      const during = await tail.changes(BEGINNING, undefined);
      expect(performance.now() - began).to.be.below(1000);
      await stage.admin.query("COMMIT");
      const receipt = await later;
      const after = await tail.changes(during.next, during.revision);
      expect([namesOf(during), during.revision, namesOf(after), after.revision, after.intact]).to.deep.equal([
        ["first"],
        revision,
        ["held", "later"],
        receipt.revision,
        true,
      ]);
      expect(receipt.revision.number).to.equal(revision.number + 2);
    });

    it("returns at once the commits of another store, a hundred times", async () => {
      const [writer, reader] = [await stage.open(), await stage.open()];
      const tail = reader.store.openTail();
      let position = BEGINNING as Changes["next"];
      for (let round = 0; round < 100; round++) {
        const { revision } = await writer.store.write([entry(`t${round}`)], expiryContext());
        const changes = await tail.changes(position, undefined);
        expect([namesOf(changes), changes.revision]).to.deep.equal([[`t${round}`], revision]);
        position = changes.next;
      }
    });

    it("reports that the server is read-only, with its revision", async () => {
      const { store } = await stage.open();
      await store.write([entry("a")], expiryContext());
      const tail = store.openTail();
      const told = async () => {
        const changes = await tail.changes(BEGINNING, undefined);
        return [changes.writable, namesOf(changes)];
      };
      const before = await told();
      await stage.admin.query("SET GLOBAL read_only = 1");
      try {
        expect([before, await told()]).to.deep.equal([
          [true, ["a"]],
          [false, ["a"]],
        ]);
      } finally {
        await stage.admin.query("SET GLOBAL read_only = 0");
      }
      expect(await told()).to.deep.equal([true, ["a"]]);
    });

    it("detects lost commits after a restore, even with new commits since", async () => {
      const { store } = await stage.open();
      await store.write([entry("kept")], expiryContext());
      const { revision: kept } = await store.write([entry("kept too")], expiryContext());
      const { revision: lost } = await store.write([entry("lost")], expiryContext());
      const tail = store.openTail();
      const intact = async (seen: typeof kept) => (await tail.changes(BEGINNING, seen)).intact;
      const before = [await intact(kept), await intact(lost)];
      await stage.admin.query("BEGIN");
      await stage.admin.query("DELETE FROM blacklisted_tokens WHERE revision > ?", [kept.number]);
      await stage.admin.query("DELETE FROM blacklist_commits WHERE revision > ?", [kept.number]);
      await stage.admin.query("UPDATE blacklist_state SET revision = ?", [kept.number]);
      await stage.admin.query("COMMIT");
      const behind = [await intact(kept), await intact(lost)];
      const { revision: again } = await store.write([entry("new")], expiryContext());
      const after = [await intact(kept), await intact(lost), await intact(again)];
      expect([before, behind, again.number, after]).to.deep.equal([
        [true, true],
        [true, false],
        lost.number,
        [true, false, true],
      ]);
    });

    it("does not wait while List and Prune use every connection of the pool", async () => {
      const { store, engine } = await stage.open();
      const busy = Promise.allSettled(Array.from({ length: 4 }, () => engine.knex.raw("SELECT SLEEP(2)")));
      const began = performance.now();
      const tail = store.openTail();
      await Promise.all([tail.changes(BEGINNING, undefined), tail.scan(new Uint8Array())]);
      expect(performance.now() - began).to.be.below(1000);
      await busy;
    });

    for (const what of ["the tail", "the store"] as const) {
      it(`fails its statement in flight when ${what} is closed, at once`, async () => {
        const { store } = await stage.openProxied();
        const tail = store.openTail();
        await tail.changes(BEGINNING, undefined);
        stage.proxy.hold();
        const asked = [tail.changes(BEGINNING, undefined), tail.scan(new Uint8Array())].map(reasonOf);
        const began = performance.now();
        if (what === "the tail") tail.close();
        else await store.close();
        expect(await Promise.all(asked)).to.deep.equal(["STORE_UNAVAILABLE", "STORE_UNAVAILABLE"]);
        expect(performance.now() - began).to.be.below(500);
        await stage.proxy.heal();
      });
    }

    it("abandons a late response together with its connection, and never takes it for that to a later statement", async () => {
      const { store } = await stage.openProxied();
      const sound = await stage.open();
      const tail = store.openTail();
      await tail.changes(BEGINNING, undefined);
      const connections = stage.proxy.openConnections;
      stage.proxy.hold("toClient");
      const late = reasonOf(tail.changes(BEGINNING, undefined));
      expect(await late).to.equal("STORE_UNAVAILABLE");
      const { revision } = await sound.store.write([entry("a")], expiryContext());
      await stage.proxy.heal();
      const changes = await tail.changes(BEGINNING, undefined);
      expect([namesOf(changes), changes.revision]).to.deep.equal([["a"], revision]);
      await until(() => stage.proxy.openConnections <= connections, {
        withinMs: 2000,
        what: "the connection with the late response is closed",
      });
    });
  });

  const FAULTS: Record<string, () => void> = {
    "drops every byte": () => stage.proxy.blackhole(),
    "drops the responses": () => stage.proxy.blackhole("toClient"),
    "resets every connection": () => stage.proxy.reset(),
    "refuses connections": () => {
      stage.proxy.refuse();
      stage.proxy.cut();
    },
  };
  for (const [fault, inflict] of Object.entries(FAULTS)) {
    it(`fails in bounded time while the network ${fault}, and recovers within two seconds`, async () => {
      const { store } = await stage.openProxied();
      const tail = store.openTail();
      const follow = () => tail.changes({ revision: 0, key: new Uint8Array() }, undefined);
      await follow();
      inflict();
      const began = performance.now();
      expect(await Promise.all([store.read([]), follow()].map(reasonOf))).to.deep.equal([
        "STORE_UNAVAILABLE",
        "STORE_UNAVAILABLE",
      ]);
      expect(performance.now() - began).to.be.below(2000);
      await stage.proxy.heal();
      await until(
        () =>
          Promise.all([store.read([]), follow()]).then(
            () => true,
            () => false,
          ),
        { withinMs: 2000, what: "both reads succeed again" },
      );
      await recovered(store);
    });
  }

  it("fails in bounded time while the server is stopped, and recovers when it continues", async () => {
    const { store } = await stage.open();
    server.pause();
    try {
      expect(await reasonOf(store.read([]))).to.equal("STORE_UNAVAILABLE");
    } finally {
      server.resume();
    }
    await recovered(store);
  });
});

for (const binaryLog of [false, true]) {
  describe(`the store when the database is killed, binary log ${binaryLog ? "on" : "off"}`, function () {
    this.timeout(120_000);
    let server: PrivateMariadb;

    before(async function () {
      server = await ownMariadb(this, { binaryLog });
    });

    after(async () => {
      await server?.stop();
    });

    it("has all acknowledged writes when the server is back, every time", async () => {
      const { url } = await server.createDatabase();
      const { store } = await openTestStore(url);
      const acknowledged: string[] = [];
      try {
        for (let round = 0; round < 4; round++) {
          let stop = false;
          const target = acknowledged.length + 200;
          const writers = Array.from({ length: 8 }, async (_, writer) => {
            for (let count = 0; !stop; count++) {
              const name = `${round}-${writer}-${count}`;
              await store.write([entry(name)], expiryContext()).then(
                () => acknowledged.push(name),
                () => {},
              );
            }
          });
          await until(() => acknowledged.length >= target, {
            withinMs: 20_000,
            what: "200 more writes are acknowledged",
          });
          await server.kill("SIGKILL");
          stop = true;
          await Promise.all(writers);
          await server.restart();
          await until(
            () =>
              store.read([]).then(
                () => true,
                () => false,
              ),
            { withinMs: 5000, what: "the store has recovered" },
          );
          const { found } = await store.read(acknowledged.map(jti));
          expect(acknowledged.filter((name) => !found.has(name))).to.deep.equal([]);
        }
      } finally {
        await store.close();
      }
    });
  });
}
