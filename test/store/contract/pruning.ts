import { expect } from "chai";
import type { Store } from "../../../src/store/store.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { rejection } from "../../support/rejection.ts";
import { at, entry, expiryContext, HOUR, LEEWAY, type OpenStores, query } from "../open-test-store.ts";

export function describePruning({ open, reopen }: OpenStores): void {
  describe("prune", () => {
    const order = {
      ...expiryContext(),
      retentionMs: 0,
      limit: 10_000,
      expiredBefore: undefined,
      dryRun: false,
    };

    async function remaining(store: Store): Promise<string[]> {
      const { entries } = await store.list(query({ limit: 1000 }, { includeExpired: true }));
      return entries.map((one) => one.key as string).sort();
    }

    /** Entries `old` that expired `age` ago, one for each name. */
    async function fill(store: Store, ages: Record<string, number>): Promise<void> {
      await store.write(
        Object.entries(ages).map(([name, age]) => entry(name, { expiresAt: at(Date.now() - age) })),
        expiryContext(),
      );
    }

    it("deletes entries past expiry, leeway and retention, and no others", async () => {
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

    it("returns since when the oldest entry has been prunable, by the same expiryContext, or undefined without any", async () => {
      const { store } = await open();
      const since = (retentionMs: number) =>
        store.oldestPrunable({ now: at(Date.now()), leewayMs: LEEWAY, retentionMs });
      await fill(store, { live: -HOUR, expired: LEEWAY / 2 });
      expect([await since(0), await since(HOUR)]).to.deep.equal([undefined, undefined]);
      const expiresAt = at(Date.now() - LEEWAY - 5000);
      await store.write([entry("a", { expiresAt })], expiryContext());
      await fill(store, { b: LEEWAY + 1000 });
      expect([await since(0), await since(HOUR)]).to.deep.equal([expiresAt + LEEWAY, undefined]);
      await store.prune({ ...order, now: at(Date.now()) });
      expect(await since(0)).to.equal(undefined);
    });

    it("counts the wait with the largest leeway of any replica so far", async () => {
      const { store } = await open({ leewayMs: 10 * LEEWAY });
      const expiresAt = at(Date.now() - 11 * LEEWAY);
      await store.write([entry("a", { expiresAt }), entry("b")], expiryContext());
      const { store: other } = await reopen({ leewayMs: 0 });
      expect(await other.oldestPrunable({ now: at(Date.now()), leewayMs: 0, retentionMs: 0 })).to.equal(
        expiresAt + 10 * LEEWAY,
      );
    });

    it("applies the largest leeway of any replica so far", async () => {
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
        expiryContext(expiresAt),
      );
      const now = at(Date.now());
      expect(await store.prune({ ...order, now, expiredBefore: at(expiresAt + 1) })).to.deep.equal({
        count: 1,
        hasMore: false,
      });
      expect(await remaining(store)).to.deep.equal(["b", "live"]);
      expect(await store.prune({ ...order, now, expiredBefore: at(Date.now() + 100 * HOUR) })).to.deep.equal({
        count: 1,
        hasMore: false,
      });
      expect(await remaining(store)).to.deep.equal(["live"]);
    });

    it("counts without deleting on a dry run, and reports if there is more than the limit", async () => {
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

    it("can run concurrently any number of times, and each entry is counted by one run", async () => {
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

    it("pauses between its transactions, and ends when it is told to", async () => {
      const { store } = await open();
      await fill(
        store,
        Object.fromEntries(Array.from({ length: 1000 }, (_, index) => [`t${index}`, 2 * LEEWAY])),
      );
      const left: number[] = [];
      const receipt = await store.prune({
        ...order,
        now: at(Date.now()),
        mayContinueAfterPause: async () => left.push((await remaining(store)).length) < 2,
      });
      expect(receipt.hasMore).to.equal(true);
      expect(left).to.have.length(2);
      expect(left[0]).to.be.within(1, 999);
      expect(left[1]).to.equal(1000 - receipt.count);
      expect(
        await store.prune({ ...order, now: at(Date.now()), mayContinueAfterPause: async () => true }),
      ).to.deep.equal({
        count: 1000 - receipt.count,
        hasMore: false,
      });
    });

    it("deletes no entry that is expired by only one of the two clocks", async () => {
      const clock = new FakeClock(Date.now() + 20_000);
      const { store } = await open({ clock });
      await fill(store, { a: LEEWAY - 10_000 });
      expect(await store.prune({ ...order, now: clock.now() })).to.deep.equal({ count: 0, hasMore: false });
    });

    it("deletes nothing while the clocks differ by more than 30 seconds", async () => {
      for (const skew of [-31_000, 31_000]) {
        const clock = new FakeClock(Date.now() + skew);
        const { store } = await reopen({ clock });
        await fill(store, { a: 100 * LEEWAY });
        const error = await rejection(store.prune({ ...order, now: clock.now() }));
        expect(error).to.include({ reason: "STORE_UNAVAILABLE" });
        expect(await remaining(store)).to.deep.equal(["a"]);
      }
    });

    it("keeps an entry that is blacklisted again while it runs", async () => {
      const { store } = await open();
      await fill(
        store,
        Object.fromEntries(Array.from({ length: 2000 }, (_, index) => [`t${index}`, 2 * LEEWAY])),
      );
      const [, { results }] = await Promise.all([
        store.prune({ ...order, now: at(Date.now()) }),
        store.write(
          Array.from({ length: 1000 }, (_, index) => entry(`t${index * 2}`)),
          expiryContext(),
        ),
      ]);
      expect(results.every(({ outcome }) => outcome === "created")).to.equal(true);
      expect(await remaining(store)).to.have.length(1000);
    });

    it("keeps the stamps of a day, and the last one of any age", async () => {
      const { store, engine } = await open();
      for (const name of ["a", "b", "c"]) await store.write([entry(name)], expiryContext());
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
}
