import { expect } from "chai";
import type { CountQuery, ListFilter, ListQuery, Store } from "../../../src/store/store.ts";
import {
  at,
  entry,
  expiryContext,
  HOUR,
  jti,
  LEEWAY,
  type OpenStores,
  query,
  type TestStore,
} from "../open-test-store.ts";

export function describeListing({ open }: OpenStores): void {
  describe("list", () => {
    /** Entries created a minute apart, in a known order: t0 is the oldest. */
    async function fill({ store, engine }: TestStore, count: number, { undated = 0 } = {}): Promise<number> {
      const base = Date.now() - 24 * HOUR;
      await store.write(
        Array.from({ length: count }, (_, index) =>
          entry(`t${index}`, { revokedBy: index % 2 === 0 ? "alice" : "bob" }),
        ),
        expiryContext(),
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
        found.push(page.entries.map((listed) => listed.key));
        const last = page.entries.at(-1);
        if (!page.hasMore || last === undefined) return found;
        next = { after: last, asOf: page.asOf };
        await between();
      }
    }

    it("returns pages from the newest, ties by the jti's bytes, unknown times last", async () => {
      const test = await open();
      await fill(test, 10, { undated: 3 });
      const everything = ["t9", "t8", "t7", "t6", "t5", "t4", "t3", "t2", "t1", "t0"];
      for (const limit of [1, 2, 3, 7, 10, 11])
        expect((await pages(test.store, limit)).flat()).to.deep.equal(everything);
      expect(await pages(test.store, 5)).to.deep.equal([everything.slice(0, 5), everything.slice(5)]);
    });

    it("neither skips nor repeats an entry while others are added and removed", async () => {
      const test = await open();
      await fill(test, 20);
      let turn = 0;
      const found = await pages(test.store, 3, {}, async () => {
        turn++;
        await test.store.write(
          [entry(`new ${turn}`), entry("t5", { expiresAt: at(Date.now() + (turn + 2) * HOUR) })],
          expiryContext(),
        );
        await test.engine
          .knex("blacklisted_tokens")
          .whereIn("jti", [Buffer.from("t19"), Buffer.from("t18")])
          .delete();
      });
      expect(found.flat()).to.deep.equal(Array.from({ length: 20 }, (_, index) => `t${19 - index}`));
    });

    it("omits entries that are expired at the time of the first page, unless they are requested", async () => {
      const { store } = await open();
      const expiresAt = Date.now() - 10 * HOUR;
      await store.write(
        [entry("dead", { expiresAt: at(expiresAt) }), entry("live", { expiresAt: at(expiresAt + 1) })],
        expiryContext(expiresAt),
      );
      const asOf = at(expiresAt + LEEWAY);
      const listed = async (filter: Partial<ListFilter>, instant: number) =>
        (await store.list(query({ asOf: at(instant) }, filter))).entries
          .map((one) => one.key as string)
          .sort();
      expect([
        await listed({}, asOf - 1),
        await listed({}, asOf),
        await listed({}, asOf + 1),
        await listed({ includeExpired: true }, asOf + 1),
      ]).to.deep.equal([["dead", "live"], ["live"], [], ["dead", "live"]]);
    });

    it("decides expiry at the current time of both clocks if no time is given", async () => {
      const { store } = await open();
      await store.write(
        [entry("dead", { expiresAt: at(Date.now() - LEEWAY - 1000) }), entry("live")],
        expiryContext(),
      );
      const page = await store.list(query({}));
      expect(page.entries.map((one) => one.key)).to.deep.equal(["live"]);
      const ahead = await store.list({ ...query({}), now: at(Date.now() + 24 * HOUR) });
      expect(ahead.entries.map((one) => one.key)).to.deep.equal(["live"]);
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
        await found({ keys: ["t3", "t0", "T5", "absent"].map(jti) }),
        await found({ keys: ["t3", "t4", "t5"].map(jti), revokedBy: "bob", createdBefore: minute(2) }),
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
      store.countBy({ revokedBy, limit: 100, ...expiryContext(), ...rest });

    it("counts the entries of one caller, compared byte for byte, and of no other", async () => {
      const { store } = await open();
      const callers = ["alice", "alice", "Alice", "alice ", "älice", "alicé", "ss", "ß", "%", ""];
      await store.write(
        callers.map((revokedBy, index) => entry(`t${index}`, { revokedBy })),
        expiryContext(),
      );
      const counts: Record<string, number> = {};
      for (const caller of [...callers, "bob", "a%", "_lice", "ALICE"])
        counts[caller] = await count(store, caller);
      expect(counts).to.deep.equal({
        ...{ alice: 2, Alice: 1, "alice ": 1, älice: 1, alicé: 1, ss: 1, ß: 1, "%": 1, "": 1 },
        ...{ bob: 0, "a%": 0, _lice: 0, ALICE: 0 },
      });
    });

    it("counts an entry for its creator, even if another caller has extended it since", async () => {
      const { store } = await open();
      await store.write([entry("a", { revokedBy: "alice" })], expiryContext());
      await store.write(
        [entry("a", { revokedBy: "bob", expiresAt: at(Date.now() + 2 * HOUR) })],
        expiryContext(),
      );
      expect([await count(store, "alice"), await count(store, "bob")]).to.deep.equal([1, 0]);
    });

    it("omits expired entries, leeway included, to the millisecond", async () => {
      const { store } = await open();
      const expiresAt = Date.now() - 10 * HOUR;
      await store.write(
        [0, 1].map((later) => entry(`t${later}`, { revokedBy: "alice", expiresAt: at(expiresAt + later) })),
        expiryContext(expiresAt),
      );
      const asOf = async (now: number, leewayMs: number) =>
        count(store, "alice", expiryContext(now, leewayMs));
      expect([
        await asOf(expiresAt + LEEWAY - 1, LEEWAY),
        await asOf(expiresAt + LEEWAY, LEEWAY),
        await asOf(expiresAt + LEEWAY + 1, LEEWAY),
        await asOf(expiresAt, 0),
        await asOf(expiresAt + LEEWAY + 1, 2 * LEEWAY),
      ]).to.deep.equal([2, 1, 0, 1, 2]);
    });

    it("keeps entries that are expired only by a service's clock ahead of the database's", async () => {
      const { store } = await open();
      await store.write([entry("a", { revokedBy: "alice" })], expiryContext());
      expect(await count(store, "alice", { now: at(Date.now() + 48 * HOUR) })).to.equal(1);
    });

    it("counts no further than the given maximum", async () => {
      const { store } = await open();
      await store.write(
        Array.from({ length: 1000 }, (_, index) => entry(`t${index}`, { revokedBy: "alice" })),
        expiryContext(),
      );
      const counts = [];
      for (const limit of [1, 999, 1000, 1001]) counts.push(await count(store, "alice", { limit }));
      expect(counts).to.deep.equal([1, 999, 1000, 1000]);
    });

    it("includes all writes acknowledged before it, and no pruned entries", async () => {
      const { store } = await open();
      const dead = at(Date.now() - 10 * HOUR);
      await store.write([entry("a", { revokedBy: "alice", expiresAt: dead })], expiryContext(dead));
      await store.write([entry("b", { revokedBy: "alice" })], expiryContext());
      const before = await count(store, "alice", { now: dead });
      const order = {
        ...expiryContext(),
        retentionMs: 0,
        limit: 10,
        expiredBefore: undefined,
        dryRun: false,
      };
      await store.prune(order);
      expect([before, await count(store, "alice", { now: dead })]).to.deep.equal([2, 1]);
    });
  });
}
