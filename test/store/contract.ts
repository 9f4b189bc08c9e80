import { expect } from "chai";
import type { Knex } from "knex";
import { SCAN_PAGE, TAIL_PAGE } from "../../src/limits.ts";
import type {
  Changes,
  CountQuery,
  ListFilter,
  ListQuery,
  Store,
  Tail,
  TailEntry,
  TailPosition,
} from "../../src/store/store.ts";
import type { Backend, FreshDatabase } from "../support/backends.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { reasonOf, rejection } from "../support/rejection.ts";
import {
  at,
  entry,
  HOUR,
  jti,
  LEEWAY,
  openTestStore,
  type StoreOptions,
  type TestStore,
  terms,
} from "./open-test-store.ts";

/** What every store must do, on whatever database: `src/store/store.ts`, sentence by sentence. */
export function describeStore(backend: Backend): void {
  describe(`the store on ${backend.name}`, () => {
    let database: FreshDatabase;
    let opened: TestStore[];

    beforeEach(async () => {
      database = await backend.create();
      opened = [];
    });

    afterEach(async () => {
      await Promise.all(opened.map(({ store }) => store.close()));
      await database.dispose();
    });

    async function open(options?: StoreOptions): Promise<TestStore> {
      const test = await openTestStore(database.url, options);
      opened.push(test);
      return test;
    }

    /** Closes what is open and opens it again, as a restart does. */
    async function reopen(options?: StoreOptions): Promise<TestStore> {
      await Promise.all(opened.splice(0).map(({ store }) => store.close()));
      return open(options);
    }

    describe("identity", () => {
      const LOOKALIKES = [
        "abc",
        "ABC",
        "Abc",
        "abc ",
        " abc",
        "abc\t",
        "abc\n",
        "ａbc",
        "ß",
        "ss",
        "é",
        "e\u0301",
        "İ",
        "i",
        "ı",
        "0",
        "00",
        "0.0",
        "-0",
        "1e3",
        "null",
        "NULL",
        "'",
        "''",
        "\\",
        "\\'",
        '"',
        "%",
        "_",
        "x'61'",
        "';--",
        "𝒳",
        "\u{10FFFF}",
        "\uFEFFabc",
        "\u0001",
      ];

      it("keeps every jti apart that differs in a byte, and hands it back unaltered", async () => {
        const { store } = await open();
        const { results } = await store.write(
          LOOKALIKES.map((name) => entry(name)),
          terms(),
        );
        expect(results.map(({ outcome }) => outcome)).to.deep.equal(LOOKALIKES.map(() => "created"));
        for (const name of LOOKALIKES) {
          const { expiries } = await store.read([jti(name)]);
          expect([...expiries.keys()]).to.deep.equal([name]);
        }
        const { entries } = await store.list(query({ limit: 100 }));
        expect(entries.map((listed) => listed.jti)).to.have.members(LOOKALIKES);
      });

      it("finds nothing for a jti that merely resembles one it has", async () => {
        const { store } = await open();
        await store.write([entry("abc")], terms());
        const { expiries } = await store.read(LOOKALIKES.filter((name) => name !== "abc").map(jti));
        expect([...expiries.keys()]).to.deep.equal([]);
      });

      it("stores 255 bytes whole, and refuses 256 with all that came with them", async () => {
        const { store } = await open();
        const longest = `${"é".repeat(127)}x`;
        await store.write([entry(longest)], terms());
        expect([...(await store.read([jti(longest)])).expiries.keys()]).to.deep.equal([longest]);
        expect(
          await rejection(store.write([entry("with it"), entry(`${longest}x`)], terms())),
        ).to.be.instanceOf(Error);
        expect([...(await store.read([jti("with it")])).expiries.keys()]).to.deep.equal([]);
      });

      it("keeps reason and caller as they came, whatever is in them", async () => {
        const { store } = await open();
        const texts = LOOKALIKES.concat("", "é".repeat(256));
        await store.write(
          texts.map((reason, index) => entry(`t${index}`, { reason, revokedBy: reason.slice(0, 100) })),
          terms(),
        );
        const { entries } = await store.list(query({ limit: 100 }));
        const listed = new Map(entries.map((one) => [one.jti as string, [one.reason, one.revokedBy]]));
        expect(texts.map((_, index) => listed.get(`t${index}`))).to.deep.equal(
          texts.map((text) => [text, text.slice(0, 100)]),
        );
      });
    });

    describe("write", () => {
      it("creates, then finds the entry there, then extends it, and never shortens it", async () => {
        const { store } = await open();
        const now = Date.now();
        const first = entry("a", { expiresAt: at(now + HOUR), reason: "logout", revokedBy: "alice" });
        const later = { ...first, expiresAt: at(now + 2 * HOUR), reason: "stolen", revokedBy: "bob" };
        const receipts = [];
        for (const one of [first, first, later, first])
          receipts.push((await store.write([one], terms())).results[0]);
        const createdAt = receipts[0]?.entry.createdAt ?? at(0);
        expect(createdAt).to.be.within(now - 1000, Date.now() + 1000);
        const stored = { ...first, createdAt };
        expect(receipts).to.deep.equal([
          { outcome: "created", entry: stored },
          { outcome: "unchanged", entry: stored },
          { outcome: "extended", entry: { ...stored, expiresAt: later.expiresAt } },
          { outcome: "unchanged", entry: { ...stored, expiresAt: later.expiresAt } },
        ]);
      });

      it("answers in the order of the entries, each with its own outcome", async () => {
        const { store } = await open();
        const now = Date.now();
        await store.write([entry("m"), entry("c", { expiresAt: at(now + HOUR) })], terms());
        const { results } = await store.write(
          [
            entry("z"),
            entry("c", { expiresAt: at(now + 2 * HOUR) }),
            entry("a"),
            entry("m", { expiresAt: at(now + 1) }),
          ],
          terms(),
        );
        expect(results.map((result) => [result.entry.jti, result.outcome])).to.deep.equal([
          ["z", "created"],
          ["c", "extended"],
          ["a", "created"],
          ["m", "unchanged"],
        ]);
      });

      it("replaces an entry whole once its leeway is over, and not a millisecond earlier", async () => {
        const { store } = await open();
        const expiresAt = at(Date.now() - 10 * HOUR);
        const told: unknown[] = [];
        for (const past of [-1, 0]) {
          const name = `past ${past}`;
          await store.write(
            [entry(name, { expiresAt, reason: "old", revokedBy: "alice" })],
            terms(expiresAt),
          );
          const anew = entry(name, { expiresAt: at(expiresAt + 2 * HOUR), reason: "new", revokedBy: "bob" });
          const { results } = await store.write([anew], terms(expiresAt + LEEWAY + past));
          told.push(results.map((result) => [result.outcome, result.entry.reason, result.entry.revokedBy]));
        }
        expect(told).to.deep.equal([[["extended", "old", "alice"]], [["created", "new", "bob"]]]);
      });

      it("does not believe a clock of the service that runs ahead of the database's", async () => {
        const { store } = await open();
        await store.write([entry("a", { reason: "old" })], terms());
        const { results } = await store.write(
          [entry("a", { expiresAt: at(Date.now() + 48 * HOUR), reason: "new" })],
          terms(Date.now() + 24 * HOUR),
        );
        expect(results.map((result) => [result.outcome, result.entry.reason])).to.deep.equal([
          ["extended", "old"],
        ]);
      });

      it("keeps times to the millisecond up to the end of the year 9999", async () => {
        const { store } = await open();
        const expiries = [253_402_300_799_999, 2_177_452_799_999, 4_294_967_296_001, Date.now() + HOUR].map(
          at,
        );
        await store.write(
          expiries.map((expiresAt, index) => entry(`t${index}`, { expiresAt })),
          terms(),
        );
        const { expiries: found } = await store.read(expiries.map((_, index) => jti(`t${index}`)));
        expect(expiries.map((_, index) => found.get(`t${index}`))).to.deep.equal(expiries);
      });

      it("numbers commits without a gap, in the order in which they become visible", async () => {
        const { store } = await open();
        const before = (await store.read([])).revision.number;
        const receipts = await Promise.all(
          Array.from({ length: 40 }, (_, index) => store.write([entry(`t${index}`)], terms())),
        );
        const numbers = receipts.map(({ revision }) => revision.number).sort((a, b) => a - b);
        expect(numbers).to.deep.equal(Array.from({ length: 40 }, (_, index) => before + index + 1));
        expect((await store.read([])).revision.number).to.equal(before + 40);
      });

      it("tells exactly one of many at once that it created the entry", async () => {
        const { store } = await open();
        const receipts = await Promise.all(
          Array.from({ length: 32 }, () =>
            store.write([entry("contested", { expiresAt: at(9e12) })], terms()),
          ),
        );
        const outcomes = receipts.map(({ results }) => results[0]?.outcome).sort();
        expect(outcomes).to.deep.equal(["created", ...Array(31).fill("unchanged")]);
      });

      it("takes 1000 entries of the greatest size at once", async () => {
        const { store } = await open();
        const entries = Array.from({ length: 1000 }, (_, index) =>
          entry(String(index).padEnd(255, "x"), { reason: "r".repeat(512), revokedBy: "b".repeat(255) }),
        );
        const { results } = await store.write(entries, terms());
        expect(results.filter(({ outcome }) => outcome === "created")).to.have.length(1000);
        expect((await store.read(entries.map((one) => one.jti))).expiries.size).to.equal(1000);
      });

      it("keeps what it acknowledged across a restart", async () => {
        const { store } = await open();
        const { revision } = await store.write([entry("a")], terms());
        const again = await reopen();
        const sighting = await again.store.read([jti("a")]);
        expect([sighting.revision, [...sighting.expiries.keys()]]).to.deep.equal([revision, ["a"]]);
      });
    });

    it("says nothing in its errors of the statement that failed, nor of what was in it", async () => {
      const { store, engine } = await open();
      await store.write([entry("canary", { expiresAt: at(1) })], terms(1));
      await engine.knex.schema.renameTable("blacklisted_tokens", "elsewhere");
      const prune = { ...terms(), retentionMs: 0, limit: 10, expiredBefore: undefined, dryRun: false };
      const failed = [
        store.prune(prune),
        store.list(query({}, { jtis: [jti("canary")] })),
        engine.knex("blacklisted_tokens").whereRaw("jti IN (x'63616e617279')").delete(),
      ];
      for (const error of await Promise.all(failed.map(rejection))) {
        expect(String(error)).not.to.match(/canary|63616e617279|select|delete/i);
      }
    });

    describe("read", () => {
      it("starts at revision 0, which has a stamp like every other", async () => {
        const { store } = await open();
        const { revision, writable, expiries } = await store.read([jti("nobody")]);
        expect([revision.number, writable, expiries.size]).to.deep.equal([0, true, 0]);
        expect(revision.stamp).to.match(/^[0-9a-f]{16}$/);
        expect(await store.missing([revision])).to.deep.equal([]);
      });

      it("reports the database's clock in UTC", async () => {
        const { store } = await open();
        const before = Date.now();
        const { clock } = await store.read([]);
        expect(clock).to.be.within(before - 1000, Date.now() + 1000);
      });

      it("finds every one of thousands, and only these", async () => {
        const { store } = await open();
        const names = Array.from({ length: 3000 }, (_, index) => `token-${index}`);
        for (let from = 0; from < 3000; from += 1000)
          await store.write(
            names.slice(from, from + 1000).map((name) => entry(name)),
            terms(),
          );
        for (const count of [1, 999, 1000, 1001, 3000]) {
          const asked = names.slice(0, count).flatMap((name) => [jti(name), jti(`not ${name}`)]);
          expect([...(await store.read(asked)).expiries.keys()].sort()).to.deep.equal(
            names.slice(0, count).sort(),
          );
        }
      });
    });

    describe("missing", () => {
      it("knows its own revisions, and none that is ahead or stamped otherwise", async () => {
        const { store } = await open();
        const { revision: first } = await store.write([entry("a")], terms());
        const { revision: second } = await store.write([entry("b")], terms());
        const forged = { number: first.number, stamp: "0123456789abcdef" };
        const ahead = { number: second.number + 1, stamp: second.stamp };
        expect(await store.missing([first, second, forged, ahead])).to.deep.equal([forged, ahead]);
      });

      it("believes a revision older than any whose stamp it still has", async () => {
        const { store, engine } = await open();
        const { revision } = await store.write([entry("a")], terms());
        await store.write([entry("b")], terms());
        await engine.knex("blacklist_commits").where("revision", "<=", revision.number).delete();
        expect(await store.missing([{ number: revision.number, stamp: "0123456789abcdef" }])).to.deep.equal(
          [],
        );
      });
    });

    describe("list", () => {
      /** Entries created a minute apart, so that their order is known: t0 is the oldest. */
      async function fill(
        { store, engine }: TestStore,
        count: number,
        { undated = 0 } = {},
      ): Promise<number> {
        const base = Date.now() - 24 * HOUR;
        await store.write(
          Array.from({ length: count }, (_, index) =>
            entry(`t${index}`, { revokedBy: index % 2 === 0 ? "alice" : "bob" }),
          ),
          terms(),
        );
        for (let index = 0; index < count; index++) {
          const created_at = index < undated ? null : base + Math.floor(index / 2) * 60_000;
          await engine
            .knex("blacklisted_tokens")
            .where("jti", Buffer.from(`t${index}`))
            .update({ created_at });
        }
        return base;
      }

      async function pages(
        store: Store,
        limit: number,
        filter: Partial<ListFilter> = {},
        between = async () => {},
      ): Promise<string[][]> {
        const found: string[][] = [];
        let next: Pick<ListQuery, "after" | "asOf"> = { after: undefined, asOf: undefined };
        for (;;) {
          const page = await store.list(query({ limit, ...next }, filter));
          found.push(page.entries.map((listed) => listed.jti));
          const last = page.entries.at(-1);
          if (!page.hasMore || last === undefined) return found;
          next = { after: last, asOf: page.asOf };
          await between();
        }
      }

      it("pages newest first, ties by the jti's bytes, unknown times last", async () => {
        const test = await open();
        await fill(test, 10, { undated: 3 });
        const everything = ["t9", "t8", "t7", "t6", "t5", "t4", "t3", "t2", "t1", "t0"];
        for (const limit of [1, 2, 3, 7, 10, 11])
          expect((await pages(test.store, limit)).flat()).to.deep.equal(everything);
        expect(await pages(test.store, 5)).to.deep.equal([everything.slice(0, 5), everything.slice(5)]);
      });

      it("neither skips nor repeats an entry while others come and go", async () => {
        const test = await open();
        await fill(test, 20);
        let turn = 0;
        const found = await pages(test.store, 3, {}, async () => {
          turn++;
          await test.store.write(
            [entry(`new ${turn}`), entry("t5", { expiresAt: at(Date.now() + (turn + 2) * HOUR) })],
            terms(),
          );
          await test.engine
            .knex("blacklisted_tokens")
            .whereIn("jti", [Buffer.from("t19"), Buffer.from("t18")])
            .delete();
        });
        expect(found.flat()).to.deep.equal(Array.from({ length: 20 }, (_, index) => `t${19 - index}`));
      });

      it("leaves out what no longer answers blacklisted at the instant of the first page, unless asked", async () => {
        const { store } = await open();
        const expiresAt = Date.now() - 10 * HOUR;
        await store.write(
          [entry("dead", { expiresAt: at(expiresAt) }), entry("live", { expiresAt: at(expiresAt + 1) })],
          terms(expiresAt),
        );
        const asOf = at(expiresAt + LEEWAY);
        const listed = async (filter: Partial<ListFilter>, instant: number) =>
          (await store.list(query({ asOf: at(instant) }, filter))).entries
            .map((one) => one.jti as string)
            .sort();
        expect([
          await listed({}, asOf - 1),
          await listed({}, asOf),
          await listed({}, asOf + 1),
          await listed({ includeExpired: true }, asOf + 1),
        ]).to.deep.equal([["dead", "live"], ["live"], [], ["dead", "live"]]);
      });

      it("judges expiry now, by both clocks, when no instant is named", async () => {
        const { store } = await open();
        await store.write(
          [entry("dead", { expiresAt: at(Date.now() - LEEWAY - 1000) }), entry("live")],
          terms(),
        );
        const page = await store.list(query({}));
        expect(page.entries.map((one) => one.jti)).to.deep.equal(["live"]);
        const ahead = await store.list({ ...query({}), now: at(Date.now() + 24 * HOUR) });
        expect(ahead.entries.map((one) => one.jti)).to.deep.equal(["live"]);
      });

      it("filters by time (from inclusive, to exclusive), caller and jti, all at once", async () => {
        const test = await open();
        const base = await fill(test, 10, { undated: 2 });
        const minute = (n: number) => at(base + n * 60_000);
        const found = async (filter: Partial<ListFilter>) => (await pages(test.store, 3, filter)).flat();
        expect([
          await found({ createdAfter: minute(2) }),
          await found({ createdBefore: minute(2) }),
          await found({ createdAfter: minute(2), createdBefore: minute(3) }),
          await found({ revokedBy: "bob" }),
          await found({ revokedBy: "BOB" }),
          await found({ jtis: ["t3", "t0", "T5", "nobody"].map(jti) }),
          await found({ jtis: ["t3", "t4", "t5"].map(jti), revokedBy: "bob", createdBefore: minute(2) }),
        ]).to.deep.equal([
          ["t9", "t8", "t7", "t6", "t5", "t4"],
          ["t3", "t2"],
          ["t5", "t4"],
          ["t9", "t7", "t5", "t3", "t1"],
          [],
          ["t3", "t0"],
          ["t3"],
        ]);
      });
    });

    describe("countBy", () => {
      const count = (store: Store, revokedBy: string, rest: Partial<CountQuery> = {}) =>
        store.countBy({ revokedBy, limit: 100, ...terms(), ...rest });

      it("counts the entries of one caller, byte for byte, and nobody else's", async () => {
        const { store } = await open();
        const callers = ["alice", "alice", "Alice", "alice ", "älice", "alicé", "ss", "ß", "%", ""];
        await store.write(
          callers.map((revokedBy, index) => entry(`t${index}`, { revokedBy })),
          terms(),
        );
        const counts: Record<string, number> = {};
        for (const caller of [...callers, "bob", "a%", "_lice", "ALICE"])
          counts[caller] = await count(store, caller);
        expect(counts).to.deep.equal({
          ...{ alice: 2, Alice: 1, "alice ": 1, älice: 1, alicé: 1, ss: 1, ß: 1, "%": 1, "": 1 },
          ...{ bob: 0, "a%": 0, _lice: 0, ALICE: 0 },
        });
      });

      it("counts an entry for whoever made it, whoever has extended it since", async () => {
        const { store } = await open();
        await store.write([entry("a", { revokedBy: "alice" })], terms());
        await store.write([entry("a", { revokedBy: "bob", expiresAt: at(Date.now() + 2 * HOUR) })], terms());
        expect([await count(store, "alice"), await count(store, "bob")]).to.deep.equal([1, 0]);
      });

      it("leaves out what has expired, leeway included, to the millisecond", async () => {
        const { store } = await open();
        const expiresAt = Date.now() - 10 * HOUR;
        await store.write(
          [0, 1].map((later) => entry(`t${later}`, { revokedBy: "alice", expiresAt: at(expiresAt + later) })),
          terms(expiresAt),
        );
        const asOf = async (now: number, leewayMs: number) => count(store, "alice", terms(now, leewayMs));
        expect([
          await asOf(expiresAt + LEEWAY - 1, LEEWAY),
          await asOf(expiresAt + LEEWAY, LEEWAY),
          await asOf(expiresAt + LEEWAY + 1, LEEWAY),
          await asOf(expiresAt, 0),
          await asOf(expiresAt + LEEWAY + 1, 2 * LEEWAY),
        ]).to.deep.equal([2, 1, 0, 1, 2]);
      });

      it("does not believe a clock of the service that runs ahead of the database's", async () => {
        const { store } = await open();
        await store.write([entry("a", { revokedBy: "alice" })], terms());
        expect(await count(store, "alice", { now: at(Date.now() + 48 * HOUR) })).to.equal(1);
      });

      it("counts no further than it was asked to", async () => {
        const { store } = await open();
        await store.write(
          Array.from({ length: 1000 }, (_, index) => entry(`t${index}`, { revokedBy: "alice" })),
          terms(),
        );
        const counts = [];
        for (const limit of [1, 999, 1000, 1001]) counts.push(await count(store, "alice", { limit }));
        expect(counts).to.deep.equal([1, 999, 1000, 1000]);
      });

      it("counts what was acknowledged before it was asked, and what was pruned no more", async () => {
        const { store } = await open();
        const dead = at(Date.now() - 10 * HOUR);
        await store.write([entry("a", { revokedBy: "alice", expiresAt: dead })], terms(dead));
        await store.write([entry("b", { revokedBy: "alice" })], terms());
        const before = await count(store, "alice", { now: dead });
        const order = { ...terms(), retentionMs: 0, limit: 10, expiredBefore: undefined, dryRun: false };
        await store.prune(order);
        expect([before, await count(store, "alice", { now: dead })]).to.deep.equal([2, 1]);
      });
    });

    describe("prune", () => {
      const order = { ...terms(), retentionMs: 0, limit: 10_000, expiredBefore: undefined, dryRun: false };

      async function remaining(store: Store): Promise<string[]> {
        const { entries } = await store.list(query({ limit: 1000 }, { includeExpired: true }));
        return entries.map((one) => one.jti as string).sort();
      }

      /** `old` expired `age` ago for each name. */
      async function fill(store: Store, ages: Record<string, number>): Promise<void> {
        await store.write(
          Object.entries(ages).map(([name, age]) => entry(name, { expiresAt: at(Date.now() - age) })),
          terms(),
        );
      }

      it("deletes what is past expiry, leeway and retention, and nothing else", async () => {
        const { store } = await open();
        await fill(store, {
          live: -HOUR,
          expired: LEEWAY / 2,
          forgotten: LEEWAY + 5000,
          old: LEEWAY + HOUR + 5000,
        });
        const receipts = [];
        for (const retentionMs of [HOUR, 0])
          receipts.push(await store.prune({ ...order, now: at(Date.now()), retentionMs }));
        expect([receipts, await remaining(store)]).to.deep.equal([
          [
            { count: 1, hasMore: false },
            { count: 1, hasMore: false },
          ],
          ["expired", "live"],
        ]);
      });

      it("knows since when the oldest could have been deleted, by the same terms, and when there is nothing", async () => {
        const { store } = await open();
        const since = (retentionMs: number) =>
          store.oldestPrunable({ now: at(Date.now()), leewayMs: LEEWAY, retentionMs });
        await fill(store, { live: -HOUR, expired: LEEWAY / 2 });
        expect([await since(0), await since(HOUR)]).to.deep.equal([undefined, undefined]);
        const expiresAt = at(Date.now() - LEEWAY - 5000);
        await store.write([entry("a", { expiresAt })], terms());
        await fill(store, { b: LEEWAY + 1000 });
        expect([await since(0), await since(HOUR)]).to.deep.equal([expiresAt + LEEWAY, undefined]);
        await store.prune({ ...order, now: at(Date.now()) });
        expect(await since(0)).to.equal(undefined);
      });

      it("counts the wait from the largest leeway that any replica ever ran with", async () => {
        const { store } = await open({ leewayMs: 10 * LEEWAY });
        const expiresAt = at(Date.now() - 11 * LEEWAY);
        await store.write([entry("a", { expiresAt }), entry("b")], terms());
        const { store: other } = await reopen({ leewayMs: 0 });
        expect(await other.oldestPrunable({ now: at(Date.now()), leewayMs: 0, retentionMs: 0 })).to.equal(
          expiresAt + 10 * LEEWAY,
        );
      });

      it("honours the largest leeway that any replica ever ran with", async () => {
        const { store } = await open({ leewayMs: 10 * LEEWAY });
        await fill(store, { a: 5 * LEEWAY, b: 11 * LEEWAY });
        const { store: other } = await reopen({ leewayMs: 0 });
        expect(await other.prune({ ...order, now: at(Date.now()), leewayMs: 0 })).to.deep.equal({
          count: 1,
          hasMore: false,
        });
        expect(await remaining(other)).to.deep.equal(["a"]);
      });

      it("is narrowed by expired_before, exclusively, and never widened", async () => {
        const { store } = await open();
        const expiresAt = Date.now() - 10 * HOUR;
        await store.write(
          [
            entry("a", { expiresAt: at(expiresAt) }),
            entry("b", { expiresAt: at(expiresAt + 1) }),
            entry("live"),
          ],
          terms(expiresAt),
        );
        const now = at(Date.now());
        expect(await store.prune({ ...order, now, expiredBefore: at(expiresAt + 1) })).to.deep.equal({
          count: 1,
          hasMore: false,
        });
        expect(await remaining(store)).to.deep.equal(["b", "live"]);
        expect(
          await store.prune({ ...order, now, expiredBefore: at(Date.now() + 100 * HOUR) }),
        ).to.deep.equal({ count: 1, hasMore: false });
        expect(await remaining(store)).to.deep.equal(["live"]);
      });

      it("counts without deleting on a dry run, and says when there is more than the limit", async () => {
        const { store } = await open();
        await fill(
          store,
          Object.fromEntries(Array.from({ length: 2500 }, (_, index) => [`t${index}`, 2 * LEEWAY + index])),
        );
        const now = at(Date.now());
        expect([
          await store.prune({ ...order, now, dryRun: true, limit: 2499 }),
          await store.prune({ ...order, now, dryRun: true, limit: 2500 }),
          await store.prune({ ...order, now, limit: 2100 }),
          await store.prune({ ...order, now, limit: 400 }),
          await store.prune({ ...order, now, limit: 400 }),
        ]).to.deep.equal([
          { count: 2499, hasMore: true },
          { count: 2500, hasMore: false },
          { count: 2100, hasMore: true },
          { count: 400, hasMore: false },
          { count: 0, hasMore: false },
        ]);
      });

      it("lets any number run at once, each entry counted by one of them", async () => {
        const { store } = await open();
        await fill(
          store,
          Object.fromEntries(Array.from({ length: 3000 }, (_, index) => [`t${index}`, 2 * LEEWAY])),
        );
        const receipts = await Promise.all(
          Array.from({ length: 5 }, () => store.prune({ ...order, now: at(Date.now()) })),
        );
        expect(receipts.reduce((sum, { count }) => sum + count, 0)).to.equal(3000);
        expect(await remaining(store)).to.deep.equal([]);
      });

      it("rests between its transactions, and ends when told that it has done enough", async () => {
        const { store } = await open();
        await fill(
          store,
          Object.fromEntries(Array.from({ length: 1000 }, (_, index) => [`t${index}`, 2 * LEEWAY])),
        );
        const left: number[] = [];
        const receipt = await store.prune({
          ...order,
          now: at(Date.now()),
          rest: async () => left.push((await remaining(store)).length) < 2,
        });
        expect(receipt.hasMore).to.equal(true);
        expect(left).to.have.length(2);
        expect(left[0]).to.be.within(1, 999);
        expect(left[1]).to.equal(1000 - receipt.count);
        expect(await store.prune({ ...order, now: at(Date.now()), rest: async () => true })).to.deep.equal({
          count: 1000 - receipt.count,
          hasMore: false,
        });
      });

      it("forgets nothing that only one of the two clocks says is over", async () => {
        const clock = new FakeClock(Date.now() + 20_000);
        const { store } = await open({ clock });
        await fill(store, { a: LEEWAY - 10_000 });
        expect(await store.prune({ ...order, now: clock.now() })).to.deep.equal({ count: 0, hasMore: false });
      });

      it("stops altogether while the clocks are more than 30 seconds apart", async () => {
        for (const skew of [-31_000, 31_000]) {
          const clock = new FakeClock(Date.now() + skew);
          const { store } = await reopen({ clock });
          await fill(store, { a: 100 * LEEWAY });
          const error = await rejection(store.prune({ ...order, now: clock.now() }));
          expect(error).to.include({ reason: "STORE_UNAVAILABLE" });
          expect(await remaining(store)).to.deep.equal(["a"]);
        }
      });

      it("spares an entry that is blacklisted anew meanwhile", async () => {
        const { store } = await open();
        await fill(
          store,
          Object.fromEntries(Array.from({ length: 2000 }, (_, index) => [`t${index}`, 2 * LEEWAY])),
        );
        const [, { results }] = await Promise.all([
          store.prune({ ...order, now: at(Date.now()) }),
          store.write(
            Array.from({ length: 1000 }, (_, index) => entry(`t${index * 2}`)),
            terms(),
          ),
        ]);
        expect(results.every(({ outcome }) => outcome === "created")).to.equal(true);
        expect(await remaining(store)).to.have.length(1000);
      });

      it("keeps the stamps of a day, and the last one however old", async () => {
        const { store, engine } = await open();
        for (const name of ["a", "b", "c"]) await store.write([entry(name)], terms());
        const commits = () => engine.knex("blacklist_commits").orderBy("revision").pluck("revision");
        await engine
          .knex("blacklist_commits")
          .where("revision", "<", 2)
          .update({ committed_at: Date.now() - 25 * HOUR });
        await store.prune({ ...order, now: at(Date.now()) });
        const afterOne = (await commits()).map(Number);
        await engine.knex("blacklist_commits").update({ committed_at: Date.now() - 25 * HOUR });
        await store.prune({ ...order, now: at(Date.now()) });
        expect([afterOne, (await commits()).map(Number)]).to.deep.equal([[2, 3], [3]]);
      });
    });

    describe("openTail", () => {
      const START = new Uint8Array();
      const BEGINNING: TailPosition = { revision: 0, jti: START };
      const afterEntry = (revision: number, jti = ""): TailPosition => ({ revision, jti: Buffer.from(jti) });
      const namesOf = (entries: readonly TailEntry[]) =>
        entries.map((one) => Buffer.from(one.jti).toString());
      const next = ({ next: { revision, jti } }: Changes) => [revision, Buffer.from(jti).toString()];
      const numbered = (prefix: string, count: number) =>
        Array.from({ length: count }, (_, index) => `${prefix}${String(index).padStart(4, "0")}`);
      const create = (store: Store, names: readonly string[], expiresAt?: number) =>
        store.write(
          names.map((name) => entry(name, expiresAt === undefined ? {} : { expiresAt: at(expiresAt) })),
          terms(),
        );

      /** Rows that no caller could have stored: their jtis are not text. All of revision 1. */
      async function insertBytes({ engine }: TestStore, jtis: readonly Buffer[]): Promise<void> {
        for (let from = 0; from < jtis.length; from += 500) {
          await engine.knex("blacklisted_tokens").insert(
            jtis.slice(from, from + 500).map((bytes) => ({
              jti: bytes,
              expires_at: Date.now() + HOUR,
              created_at: null,
              reason: Buffer.alloc(0),
              revoked_by: Buffer.alloc(0),
              revision: 1,
              created_revision: 1,
            })),
          );
        }
      }

      /** All entries of the table, page by page. */
      async function scanAll(tail: Tail, between = async () => {}): Promise<TailEntry[][]> {
        const pages: TailEntry[][] = [];
        for (let last: Uint8Array = START; ; ) {
          const page = await tail.scan(last);
          pages.push([...page.entries]);
          if (!page.hasMore) return pages;
          last = page.entries.at(-1)?.jti ?? last;
          await between();
        }
      }

      it("hands over what changed after a position, by revision and jti, and says where to go on", async () => {
        const { store } = await open();
        const expiresAt = Date.now() + HOUR;
        const { revision: first } = await create(store, ["b", "a"], expiresAt);
        const { revision } = await create(store, ["aa"], expiresAt + 1);
        const tail = store.openTail();
        const { entries, clock, next: position, ...rest } = await tail.changes(BEGINNING, undefined);
        expect(entries.map((one) => [Buffer.from(one.jti).toString(), one.expiresAt])).to.deep.equal([
          ["a", expiresAt],
          ["b", expiresAt],
          ["aa", expiresAt + 1],
        ]);
        expect(rest).to.deep.equal({ revision, writable: true, intact: true, hasMore: false });
        expect(clock).to.be.within(Date.now() - 1000, Date.now() + 1000);
        expect([position.revision, position.jti.length]).to.deep.equal([revision.number + 1, 0]);

        const found = async (from: TailPosition) => namesOf((await tail.changes(from, revision)).entries);
        expect([
          await found(afterEntry(first.number, "a")),
          // Whatever kind of bytes.
          await found({ revision: first.number, jti: Uint8Array.from([0x61]) }),
          await found(afterEntry(first.number, "b")),
          await found(afterEntry(revision.number)),
          await found(afterEntry(revision.number, "aa")),
          await found(position),
          await found({ revision: Number.MAX_SAFE_INTEGER, jti: START }),
        ]).to.deep.equal([["b", "aa"], ["b", "aa"], ["aa"], ["aa"], [], [], []]);
      });

      it("says how the database stands when nothing has changed, on an empty one too", async () => {
        const { store } = await open();
        const tail = store.openTail();
        const empty = await tail.changes(BEGINNING, undefined);
        expect([empty.revision.number, empty.entries, empty.hasMore, next(empty)]).to.deep.equal([
          ...[0, [], false],
          [1, ""],
        ]);
        expect(empty.revision.stamp).to.match(/^[0-9a-f]{16}$/);
        await create(store, ["a"]);
        const { next: position } = await tail.changes(empty.next, empty.revision);
        const quiet = await tail.changes(position, undefined);
        expect([quiet.revision, quiet.entries, next(quiet)]).to.deep.equal([
          (await store.read([])).revision,
          [],
          [2, ""],
        ]);
      });

      it("cuts what is much into pages, in order and each entry once, commits that a page cuts included", async () => {
        const { store } = await open();
        const [first, second, third] = [numbered("a", 2000), numbered("b", 1000), numbered("c", 1)];
        await create(store, second);
        await create(store, first);
        const { revision } = await create(store, third);
        const tail = store.openTail();
        const page = await tail.changes(BEGINNING, undefined);
        const rest = await tail.changes(page.next, page.revision);
        const expected = [...second, ...first, ...third];
        expect([namesOf(page.entries), page.hasMore, page.revision, next(page)]).to.deep.equal([
          expected.slice(0, TAIL_PAGE),
          true,
          revision,
          [2, expected[TAIL_PAGE - 1]],
        ]);
        expect([namesOf(rest.entries), rest.hasMore, rest.intact, next(rest)]).to.deep.equal([
          expected.slice(TAIL_PAGE),
          false,
          true,
          [4, ""],
        ]);
      });

      it("does not take a page that is exactly full for the last one", async () => {
        const { store } = await open();
        await create(store, numbered("a", 2000));
        await create(store, numbered("b", TAIL_PAGE - 2000));
        const tail = store.openTail();
        const full = await tail.changes(BEGINNING, undefined);
        const last = await tail.changes(full.next, full.revision);
        expect([full.entries.length, full.hasMore, last.entries, last.hasMore, next(last)]).to.deep.equal([
          ...[TAIL_PAGE, true, [], false],
          [3, ""],
        ]);
      });

      it("brings an entry again that was extended or replaced, and not one that a repeat left alone", async () => {
        const { store } = await open();
        const dead = Date.now() - 10 * HOUR;
        const expiresAt = Date.now() + HOUR;
        await create(store, ["extended", "repeated"], expiresAt);
        await store.write([entry("replaced", { expiresAt: at(dead) })], terms(dead));
        const tail = store.openTail();
        const before = await tail.changes(BEGINNING, undefined);
        await create(store, ["extended", "replaced"], expiresAt + HOUR);
        const { revision } = await create(store, ["repeated"], expiresAt - 1);
        const changes = await tail.changes(before.next, before.revision);
        expect([
          changes.entries.map((one) => [Buffer.from(one.jti).toString(), one.expiresAt]),
          changes.revision,
        ]).to.deep.equal([
          [
            ["extended", expiresAt + HOUR],
            ["replaced", expiresAt + HOUR],
          ],
          revision,
        ]);
      });

      it("brings an entry once more, and loses none, when it changes while pages are read", async () => {
        const { store } = await open();
        const names = numbered("a", 2000).concat(numbered("b", 1000));
        const later = Date.now() + 9 * HOUR;
        await create(store, names.slice(0, 2000));
        await create(store, names.slice(2000));
        const tail = store.openTail();
        const page = await tail.changes(BEGINNING, undefined);
        // One that was read, one that was not yet.
        await create(store, ["a0007", "b0900"], later);
        const rest = await tail.changes(page.next, page.revision);
        expect([page.hasMore, rest.hasMore, rest.revision.number]).to.deep.equal([true, false, 3]);
        expect(
          rest.entries.filter((one) => one.expiresAt === later).map((one) => namesOf([one])[0]),
        ).to.deep.equal(["a0007", "b0900"]);
        expect(namesOf([...page.entries, ...rest.entries]).sort()).to.deep.equal([...names, "a0007"].sort());
      });

      it("reflects every commit that was acknowledged before it was asked", async () => {
        const { store } = await open();
        const [tail, other] = [store.openTail(), store.openTail()];
        let position = BEGINNING;
        for (let round = 0; round < 100; round++) {
          const { revision } = await create(store, [`t${round}`]);
          const changes = await (round % 2 === 0 ? tail : other).changes(position, undefined);
          expect([changes.revision, namesOf(changes.entries)]).to.deep.equal([revision, [`t${round}`]]);
          position = changes.next;
        }
      });

      it("knows whether a revision is of this database's history", async () => {
        const { store } = await open();
        const { revision: zero } = await store.read([]);
        const { revision: first } = await create(store, ["a"]);
        const { revision: last } = await create(store, ["b"]);
        const tail = store.openTail();
        const seen = {
          none: undefined,
          zero,
          first,
          last,
          otherStamp: { ...last, stamp: "0123456789abcdef" },
          stampOfAnother: { ...last, stamp: first.stamp },
          ahead: { ...last, number: last.number + 1 },
        };
        const intact: Record<string, boolean> = {};
        for (const [name, revision] of Object.entries(seen)) {
          intact[name] = (await tail.changes(BEGINNING, revision)).intact;
        }
        expect(intact).to.deep.equal({
          ...{ none: true, zero: true, first: true, last: true },
          ...{ otherStamp: false, stampOfAnother: false, ahead: false },
        });
      });

      it("judges and finds the same after reads that have found nothing, which it makes shorter", async () => {
        const { store } = await open();
        const { revision: first } = await create(store, ["a"]);
        const { revision: last } = await create(store, ["b"]);
        const tail = store.openTail();
        const { next: position } = await tail.changes(BEGINNING, undefined);
        const seen = {
          last,
          first,
          otherStamp: { ...last, stamp: first.stamp },
          ahead: { ...last, number: 3 },
        };
        const intact: Record<string, unknown> = {};
        for (const round of [1, 2, 3]) {
          for (const [name, revision] of Object.entries(seen)) {
            const quiet = await tail.changes(position, revision);
            intact[`${name} ${round}`] = [quiet.intact, quiet.writable, quiet.entries.length, quiet.revision];
            expect(next(quiet)).to.deep.equal([3, ""]);
          }
        }
        expect(intact).to.deep.equal(
          Object.fromEntries(
            [1, 2, 3].flatMap((round) =>
              Object.keys(seen).map((name) => [
                `${name} ${round}`,
                [name === "last" || name === "first", true, 0, last],
              ]),
            ),
          ),
        );
        const found: string[][] = [];
        for (let from = position, round = 0; round < 4; round++) {
          if (round % 2 === 0) await create(store, [`c${round}`, "a"], Date.now() + (round + 2) * HOUR);
          const changes = await tail.changes(from, last);
          found.push(namesOf(changes.entries));
          from = changes.next;
        }
        expect(found).to.deep.equal([["a", "c0"], [], ["a", "c2"], []]);
      });

      it("takes jtis for bytes, in the order of bytes, whatever they are", async () => {
        const test = await open();
        await create(test.store, ["to have a revision 1"]);
        await test.engine.knex("blacklisted_tokens").delete();
        const bytes = Array.from({ length: 255 }, (_, index) => index + 1);
        const jtis = [
          ...bytes.map((one) => [one]),
          ...bytes.map((one) => [0x61, one]),
          [0xff, 0xff],
          [0x61, 1, 1],
        ];
        const sorted = jtis.map((one) => Buffer.from(one)).sort(Buffer.compare);
        await insertBytes(test, [...sorted].reverse());
        const tail = test.store.openTail();
        const hexOf = (entries: readonly TailEntry[]) =>
          entries.map((one) => Buffer.from(one.jti).toString("hex"));
        const expected = sorted.map((one) => one.toString("hex"));
        expect([
          hexOf((await tail.changes(BEGINNING, undefined)).entries),
          hexOf((await tail.scan(START)).entries),
        ]).to.deep.equal([expected, expected]);
        for (let index = 0; index < sorted.length; index += 7) {
          const jti = sorted[index] as Buffer;
          expect([
            hexOf((await tail.changes({ revision: 1, jti }, undefined)).entries),
            hexOf((await tail.scan(jti)).entries),
          ]).to.deep.equal([expected.slice(index + 1), expected.slice(index + 1)]);
        }
      });

      it("scans every entry exactly once, in pages, the longest included, expired or not", async () => {
        const test = await open();
        const long = numbered("", 2100).map((name) => `${"é".repeat(120)}${name}`.padEnd(135, "x"));
        const names = [...long, ...numbered("short", 2000), "\u0001", "\u{10FFFF}"];
        expect(Buffer.byteLength(long[0] as string)).to.equal(255);
        const expected = names.map((name) => Buffer.from(name)).sort(Buffer.compare);
        await insertBytes(test, expected);
        await test.engine
          .knex("blacklisted_tokens")
          .where("jti", Buffer.from("short0000"))
          .update({ expires_at: 1 });
        const pages = await scanAll(test.store.openTail());
        expect(pages.map(({ length }) => length)).to.deep.equal([
          SCAN_PAGE,
          SCAN_PAGE,
          names.length - 2 * SCAN_PAGE,
        ]);
        expect(pages.flat().map(({ jti }) => Buffer.from(jti))).to.deep.equal(expected);
        expect(
          pages.flat().find(({ jti }) => Buffer.from(jti).toString() === "short0000")?.expiresAt,
        ).to.equal(1);
      });

      it("scans an empty table, and one whose last page is exactly full", async () => {
        const test = await open();
        const tail = test.store.openTail();
        const empty = await scanAll(tail);
        await insertBytes(
          test,
          numbered("a", SCAN_PAGE).map((name) => Buffer.from(name)),
        );
        const full = await scanAll(tail);
        expect([empty, full.map(({ length }) => length)]).to.deep.equal([[[]], [SCAN_PAGE, 0]]);
      });

      it("shows all to whoever scans the table and then reads what changed since before", async () => {
        const test = await open();
        const { store } = test;
        await create(store, ["before"]);
        await insertBytes(
          test,
          numbered("m", 2 * SCAN_PAGE).map((name) => Buffer.from(name)),
        );
        const tail = store.openTail();
        const { next: position, revision } = await tail.changes(
          { revision: Number.MAX_SAFE_INTEGER, jti: START },
          undefined,
        );
        const later = Date.now() + 9 * HOUR;
        let round = 0;
        const pages = await scanAll(tail, async () => {
          round++;
          // Before what was scanned, behind it, and an entry that was.
          await create(store, [`a${round}`, `z${round}`, "before"], later + round);
        });
        const { entries, hasMore, intact } = await tail.changes(position, revision);
        const expiries = new Map(
          [...pages.flat(), ...entries].map((one) => [Buffer.from(one.jti).toString(), one.expiresAt]),
        );
        expect([round, hasMore, intact, expiries.size]).to.deep.equal([2, false, true, 2 * SCAN_PAGE + 5]);
        expect(["a1", "z1", "a2", "z2", "before"].map((name) => expiries.get(name))).to.deep.equal(
          [1, 1, 2, 2, 2].map((rounds) => later + rounds),
        );
      });

      it("ends alone, or with its store, and is unavailable then", async () => {
        const { store } = await open();
        await create(store, ["a"]);
        const [closed, other] = [store.openTail(), store.openTail()];
        await Promise.all([closed, other].map((tail) => tail.changes(BEGINNING, undefined)));
        closed.close();
        closed.close();
        expect([
          await reasonOf(closed.changes(BEGINNING, undefined)),
          await reasonOf(closed.scan(START)),
          namesOf((await other.changes(BEGINNING, undefined)).entries),
          (await store.read([jti("a")])).expiries.size,
        ]).to.deep.equal(["STORE_UNAVAILABLE", "STORE_UNAVAILABLE", ["a"], 1]);
        await store.close();
        expect([
          await reasonOf(other.changes(BEGINNING, undefined)),
          await reasonOf(other.scan(START)),
        ]).to.deep.equal(Array(2).fill("STORE_UNAVAILABLE"));
      });

      it("connects to nothing once its store is closed", async () => {
        const { store } = await open();
        const unused = store.openTail();
        await store.close();
        expect(await reasonOf(unused.changes(BEGINNING, undefined))).to.equal("STORE_UNAVAILABLE");
        const tail = store.openTail();
        try {
          expect(await reasonOf(tail.changes(BEGINNING, undefined))).to.equal("STORE_UNAVAILABLE");
        } finally {
          tail.close();
        }
      });

      type Ask = (tail: Tail, first: Changes) => Promise<unknown>;
      const asks: Record<string, Ask> = {
        changes: (tail) => tail.changes(BEGINNING, undefined),
        "changes, of which there were none": (tail, { next: position, revision }) =>
          tail.changes(position, revision),
        scan: (tail) => tail.scan(START),
      };
      const losses: Record<string, (knex: Knex) => PromiseLike<unknown>> = {
        "another database that stands in its place": (knex) =>
          knex("blacklist_state").update({ generation: Buffer.alloc(16) }),
        "a database that has lost its state": (knex) => knex("blacklist_state").delete(),
      };
      for (const [read, ask] of Object.entries(asks)) {
        for (const [loss, lose] of Object.entries(losses)) {
          it(`says nothing of ${loss} (${read})`, async () => {
            const { store, engine } = await open();
            await create(store, ["a"]);
            const tail = store.openTail();
            const first = await tail.changes(BEGINNING, undefined);
            await tail.changes(first.next, first.revision);
            await lose(engine.knex);
            expect(await reasonOf(ask(tail, first))).to.equal("STORE_UNAVAILABLE");
          });
        }
      }
    });

    describe("open", () => {
      it("finds the same deployment again", async () => {
        const first = await (await open()).store.open();
        const second = await (await reopen()).store.open();
        expect(second).to.deep.equal(first);
        expect([first.generation.length, first.secret.length]).to.deep.equal([32, 32]);
      });

      it("refuses a schema that says it no longer supports this version, and says what to do", async () => {
        const { engine } = await open();
        await engine.knex("blacklist_state").update({ oldest_code: 1000 });
        const error = await rejection(reopen());
        expect(error)
          .to.include({ name: "SchemaError" })
          .and.property("message")
          .match(/upgrade token-blacklist/);
      });

      it("works on a schema that is merely newer, and remarks it", async () => {
        const { engine } = await open();
        await engine
          .knex("blacklist_migrations")
          .insert({ name: "9999-future", batch: 9, migration_time: new Date() });
        const { store } = await reopen();
        expect((await store.open()).remark).to.match(/newer.*9999-future/);
        expect((await store.write([entry("a")], terms())).results[0]?.outcome).to.equal("created");
      });
    });
  });
}

function query(rest: Partial<ListQuery>, filter: Partial<ListFilter> = {}): ListQuery {
  const everything = {
    includeExpired: false,
    createdAfter: undefined,
    createdBefore: undefined,
    revokedBy: undefined,
    jtis: undefined,
  };
  return {
    limit: 100,
    after: undefined,
    asOf: undefined,
    ...terms(),
    ...rest,
    filter: { ...everything, ...filter },
  };
}
