import { expect } from "chai";
import { Verdict } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import type { PrivateMariadb } from "../support/mariadb.ts";
import { ownMariadb } from "../support/own-mariadb.ts";
import { reasonOf, rejection } from "../support/rejection.ts";
import { type RunningService, startService } from "../support/service.ts";
import { at, entry, expiryContext, HOUR, jti, query, type TestStore } from "./open-test-store.ts";
import { StoreStage } from "./store-stage.ts";

const LIMIT = "sql_select_limit = 18446744073709551615";
const COUNT = 10;
const BEGINNING = { revision: 0, key: new Uint8Array() };

describe("a truncated result of MySQL", function () {
  this.timeout(60_000);
  let server: PrivateMariadb;
  let stage: StoreStage;
  let services: RunningService[];

  before(async function () {
    server = await ownMariadb(this);
  });

  after(async () => {
    await server?.stop();
  });

  beforeEach(async () => {
    stage = await StoreStage.on(server);
    services = [];
  });

  afterEach(async () => {
    for (const service of services) await service.stop();
    await stage.close();
  });

  /** From now on, no session through the proxy receives more than `rows` of a result, for any statement. */
  function cutAnswers(rows: number): void {
    stage.proxy.onClientData = (chunk) => {
      const found = chunk.indexOf(LIMIT);
      if (found >= 0) chunk.write(LIMIT.replace(/\d+/, String(rows).padStart(20, "0")), found);
      return true;
    };
    stage.proxy.cut();
  }

  const names = Array.from({ length: COUNT }, (_, index) => `revoked-${index}`);

  /** A store behind a proxy, on a database with `COUNT` entries; it reconnects for the next statement. */
  async function filled(expiresAt = Date.now() + HOUR): Promise<TestStore> {
    const test = await stage.openProxied();
    await test.store.write(
      names.map((name) => entry(name, { expiresAt: at(expiresAt), revokedBy: "alice" })),
      expiryContext(),
    );
    return test;
  }

  /** The first error is that the old connections are closed. */
  async function refused(ask: () => Promise<unknown>): Promise<string> {
    let error = await rejection(ask());
    for (let times = 0; times < 5 && !String(error).includes("cut short"); times++)
      error = await rejection(ask());
    expect(error).to.have.property("reason", "STORE_UNAVAILABLE");
    return String(error);
  }

  const CUT = "ServiceError: the database's answer was cut short";
  const old = at(1000);

  for (const rows of [1, 5, COUNT - 1]) {
    describe(`after ${rows} of ${COUNT} rows is refused`, () => {
      it("by a look-up of several tokens, while that of one token succeeds", async () => {
        const { store } = await filled();
        cutAnswers(rows);
        expect(await refused(() => store.read(names.map(jti)))).to.equal(CUT);
        expect((await store.read([jti("revoked-9")])).found.size).to.equal(1);
        expect((await store.read([...names.slice(0, rows), "good"].map(jti))).found.size).to.equal(rows);
      });

      it("by the changes of a tail", async () => {
        const tail = (await filled()).store.openTail();
        cutAnswers(rows);
        expect(await refused(() => tail.changes(BEGINNING, undefined))).to.equal(CUT);
      });

      it("by List", async () => {
        const { store } = await filled();
        cutAnswers(rows);
        expect(await refused(() => store.list(query({})))).to.equal(CUT);
      });

      it("by List if the creation times of the entries are unknown", async () => {
        const { store, engine } = await filled();
        await engine.knex("blacklisted_tokens").update({ created_at: null });
        cutAnswers(rows);
        expect(await refused(() => store.list(query({})))).to.equal(CUT);
      });

      it("by Prune, which then deletes nothing", async () => {
        const { store } = await filled(old);
        cutAnswers(rows);
        const order = {
          ...expiryContext(),
          retentionMs: 0,
          limit: 100,
          expiredBefore: undefined,
          dryRun: false,
        };
        expect(await refused(() => store.prune(order))).to.equal(CUT);
        const whole = await stage.open();
        expect((await whole.store.read(names.map(jti))).found.size).to.equal(COUNT);
      });

      it("by the search for lost revisions", async () => {
        const { store } = await filled();
        const revisions = [(await store.read([])).revision];
        for (const name of names)
          revisions.push((await store.write([entry(`more-${name}`)], expiryContext())).revision);
        cutAnswers(rows);
        expect(await refused(() => store.missing(revisions))).to.equal(CUT);
      });
    });
  }

  it("without rows is refused by every statement", async () => {
    const { store } = await filled(old);
    const tail = store.openTail();
    const order = { ...expiryContext(), retentionMs: 0, limit: 100, expiredBefore: undefined, dryRun: false };
    cutAnswers(0);
    for (const ask of [
      () => store.read([]),
      () => store.read([jti("revoked-0")]),
      () => store.missing([{ number: 1, stamp: "00" }]),
      () => store.list(query({})),
      () => store.prune(order),
      () => tail.changes(BEGINNING, undefined),
    ]) {
      for (let times = 0; times < 3; times++) expect(await reasonOf(ask())).to.equal("STORE_UNAVAILABLE");
    }
  });

  describe("gives no negative for a revoked token", () => {
    async function start(env: Record<string, string>, url: string): Promise<RunningService> {
      const service = await startService({ url, env, migrated: false });
      services.push(service);
      return service;
    }

    /** The results of repeated checks of all of them: verdicts, or the code of the failure. */
    async function answers({ client }: RunningService): Promise<Set<unknown>> {
      const seen = new Set<unknown>();
      for (let times = 0; times < 20; times++) {
        await client.isBlacklisted({ jtis: names }).then(
          ({ verdicts }) => {
            for (const verdict of verdicts) seen.add(verdict);
          },
          ({ reason }) => seen.add(reason),
        );
      }
      return seen;
    }

    it("without an index", async () => {
      await filled();
      const service = await start({ INDEX: "off" }, stage.proxiedUrl);
      expect([...(await answers(service))]).to.deep.equal([Verdict.BLACKLISTED]);
      cutAnswers(5);
      expect([...(await answers(service))]).to.deep.equal(["STORE_UNAVAILABLE"]);
    });

    it("while the index is loaded from such results, and it never becomes complete", async () => {
      await filled();
      cutAnswers(5);
      const service = await start({ INDEX: "on" }, stage.proxiedUrl);
      expect([...(await answers(service))]).to.deep.equal(["STORE_UNAVAILABLE"]);
      expect(service.logText()).to.contain("cut short").and.to.not.contain("index loaded");
    });

    it("while the index follows the changes", async () => {
      const { store } = await stage.open();
      const service = await start({ INDEX: "on" }, stage.proxiedUrl);
      await service.indexLoaded();
      cutAnswers(5);
      await store.write(
        names.map((name) => entry(name)),
        expiryContext(),
      );
      expect([...(await answers(service))]).to.deep.equal(["STORE_UNAVAILABLE"]);
      expect(service.logText()).to.contain("cut short");
    });
  });
});
