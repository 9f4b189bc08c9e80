import { expect } from "chai";
import { at, entry, expiryContext, HOUR, jti, LEEWAY, type OpenStores } from "../open-test-store.ts";

export function describeWrites({ open, reopen }: OpenStores): void {
  describe("write", () => {
    it("creates an entry, then returns the existing one, then extends it, and never shortens it", async () => {
      const { store } = await open();
      const now = Date.now();
      const first = entry("a", { expiresAt: at(now + HOUR), reason: "logout", revokedBy: "alice" });
      const later = { ...first, expiresAt: at(now + 2 * HOUR), reason: "stolen", revokedBy: "bob" };
      const receipts = [];
      for (const one of [first, first, later, first])
        receipts.push((await store.write([one], expiryContext())).results[0]);
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

    it("returns the results in the order of the entries, each with its own outcome", async () => {
      const { store } = await open();
      const now = Date.now();
      await store.write([entry("m"), entry("c", { expiresAt: at(now + HOUR) })], expiryContext());
      const { results } = await store.write(
        [
          entry("z"),
          entry("c", { expiresAt: at(now + 2 * HOUR) }),
          entry("a"),
          entry("m", { expiresAt: at(now + 1) }),
        ],
        expiryContext(),
      );
      expect(results.map((result) => [result.entry.key, result.outcome])).to.deep.equal([
        ["z", "created"],
        ["c", "extended"],
        ["a", "created"],
        ["m", "unchanged"],
      ]);
    });

    it("replaces an entry once its leeway is over, and not a millisecond earlier", async () => {
      const { store } = await open();
      const expiresAt = at(Date.now() - 10 * HOUR);
      const told: unknown[] = [];
      for (const past of [-1, 0]) {
        const name = `past ${past}`;
        await store.write(
          [entry(name, { expiresAt, reason: "old", revokedBy: "alice" })],
          expiryContext(expiresAt),
        );
        const replacement = entry(name, {
          expiresAt: at(expiresAt + 2 * HOUR),
          reason: "new",
          revokedBy: "bob",
        });
        const { results } = await store.write([replacement], expiryContext(expiresAt + LEEWAY + past));
        told.push(results.map((result) => [result.outcome, result.entry.reason, result.entry.revokedBy]));
      }
      expect(told).to.deep.equal([[["extended", "old", "alice"]], [["created", "new", "bob"]]]);
    });

    it("keeps entries that are expired only by a service's clock ahead of the database's", async () => {
      const { store } = await open();
      await store.write([entry("a", { reason: "old" })], expiryContext());
      const { results } = await store.write(
        [entry("a", { expiresAt: at(Date.now() + 48 * HOUR), reason: "new" })],
        expiryContext(Date.now() + 24 * HOUR),
      );
      expect(results.map((result) => [result.outcome, result.entry.reason])).to.deep.equal([
        ["extended", "old"],
      ]);
    });

    it("stores times to the millisecond up to the end of the year 9999", async () => {
      const { store } = await open();
      const expiries = [253_402_300_799_999, 2_177_452_799_999, 4_294_967_296_001, Date.now() + HOUR].map(at);
      await store.write(
        expiries.map((expiresAt, index) => entry(`t${index}`, { expiresAt })),
        expiryContext(),
      );
      const { found } = await store.read(expiries.map((_, index) => jti(`t${index}`)));
      expect(expiries.map((_, index) => found.get(`t${index}`)?.expiresAt)).to.deep.equal(expiries);
    });

    it("numbers commits without a gap, in the order in which they become visible", async () => {
      const { store } = await open();
      const before = (await store.read([])).revision.number;
      const receipts = await Promise.all(
        Array.from({ length: 40 }, (_, index) => store.write([entry(`t${index}`)], expiryContext())),
      );
      const numbers = receipts.map(({ revision }) => revision.number).sort((a, b) => a - b);
      expect(numbers).to.deep.equal(Array.from({ length: 40 }, (_, index) => before + index + 1));
      expect((await store.read([])).revision.number).to.equal(before + 40);
    });

    it("reports exactly one of many concurrent writers as the creator of an entry", async () => {
      const { store } = await open();
      const receipts = await Promise.all(
        Array.from({ length: 32 }, () =>
          store.write([entry("contested", { expiresAt: at(9e12) })], expiryContext()),
        ),
      );
      const outcomes = receipts.map(({ results }) => results[0]?.outcome).sort();
      expect(outcomes).to.deep.equal(["created", ...Array(31).fill("unchanged")]);
    });

    it("accepts 1000 entries of the maximum size at once", async () => {
      const { store } = await open();
      const entries = Array.from({ length: 1000 }, (_, index) =>
        entry(String(index).padEnd(255, "x"), { reason: "r".repeat(512), revokedBy: "b".repeat(255) }),
      );
      const { results } = await store.write(entries, expiryContext());
      expect(results.filter(({ outcome }) => outcome === "created")).to.have.length(1000);
      expect((await store.read(entries.map((one) => one.key))).found.size).to.equal(1000);
    });

    it("keeps acknowledged entries across a restart", async () => {
      const { store } = await open();
      const { revision } = await store.write([entry("a")], expiryContext());
      const again = await reopen();
      const sighting = await again.store.read([jti("a")]);
      expect([sighting.revision, [...sighting.found.keys()]]).to.deep.equal([revision, ["a"]]);
    });
  });
}
