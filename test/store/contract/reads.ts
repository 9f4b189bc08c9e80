import { expect } from "chai";
import { entry, jti, type OpenStores, terms } from "../open-test-store.ts";

export function describeReads({ open }: OpenStores): void {
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
      expect(await store.missing([{ number: revision.number, stamp: "0123456789abcdef" }])).to.deep.equal([]);
    });
  });
}
