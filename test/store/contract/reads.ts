import { expect } from "chai";
import type { Revision } from "../../../src/revision.ts";
import { entry, expiryContext, jti, type OpenStores } from "../open-test-store.ts";

export function describeReads({ open }: OpenStores): void {
  describe("read", () => {
    it("begins at revision 0, which has a stamp like any other", async () => {
      const { store } = await open();
      const { revision, writable, found } = await store.read([jti("absent")]);
      expect([revision.number, writable, found.size]).to.deep.equal([0, true, 0]);
      expect(revision.stamp).to.match(/^[0-9a-f]{16}$/);
      expect(await store.missing([revision])).to.deep.equal([]);
    });

    it("returns the database's clock in UTC", async () => {
      const { store } = await open();
      const before = Date.now();
      const { clock } = await store.read([]);
      expect(clock).to.be.within(before - 1000, Date.now() + 1000);
    });

    it("finds each of thousands of jtis, and no others", async () => {
      const { store } = await open();
      const names = Array.from({ length: 3000 }, (_, index) => `token-${index}`);
      for (let from = 0; from < 3000; from += 1000)
        await store.write(
          names.slice(from, from + 1000).map((name) => entry(name)),
          expiryContext(),
        );
      for (const count of [1, 999, 1000, 1001, 3000]) {
        const asked = names.slice(0, count).flatMap((name) => [jti(name), jti(`not ${name}`)]);
        expect([...(await store.read(asked)).found.keys()].sort()).to.deep.equal(
          names.slice(0, count).sort(),
        );
      }
    });
  });

  describe("read, with required commits", () => {
    it("returns whether the database has all of them, in addition to any other result", async () => {
      const { store } = await open();
      const { revision: zero } = await store.read([]);
      const { revision: first } = await store.write([entry("a")], expiryContext());
      const { revision: last } = await store.write([entry("b")], expiryContext());
      const forged = { number: first.number, stamp: last.stamp };
      const ahead = { number: last.number + 1, stamp: last.stamp };
      const intact = async (...required: Revision[]) => {
        const sightings = [await store.read([], required), await store.read([jti("a"), jti("x")], required)];
        return sightings.map((one) => [one.intact, one.found.size, one.revision.number]);
      };
      const answered = (is: boolean) => [
        [is, 0, 2],
        [is, 1, 2],
      ];
      expect([await intact(), await intact(last), await intact(zero, first, last)]).to.deep.equal(
        Array(3).fill(answered(true)),
      );
      expect([
        await intact(forged),
        await intact(ahead),
        await intact(last, forged),
        await intact(first, forged),
        await intact(ahead, last, zero),
      ]).to.deep.equal(Array(5).fill(answered(false)));
    });
  });

  describe("a required commit that is older than all stored stamps", () => {
    it("counts as present, for reads of the changes, too", async () => {
      const { store, engine } = await open();
      const { revision: old } = await store.write([entry("a")], expiryContext());
      const { revision: kept } = await store.write([entry("b")], expiryContext());
      const { revision: last } = await store.write([entry("c")], expiryContext());
      await engine.knex("blacklist_commits").where("revision", "<=", old.number).delete();
      const tail = store.openTail();
      const from = { revision: 0, key: new Uint8Array() };
      const intact = async (seen: Revision | undefined, ...required: Revision[]) => [
        (await store.read([], required)).intact,
        (await tail.changes(from, seen, required)).intact,
      ];
      const ahead = { number: last.number + 1, stamp: old.stamp };
      expect([
        await intact(undefined, old),
        await intact(last, old, kept),
        await intact(last, old, ahead),
        await intact(last, old, { ...kept, stamp: old.stamp }),
        // The last position read is different: without it, everything is read again.
        (await tail.changes(from, old)).intact,
      ]).to.deep.equal([[true, true], [true, true], [false, false], [false, false], false]);
    });
  });

  describe("missing", () => {
    it("is empty for revisions of this database, and has those that are ahead or have another stamp", async () => {
      const { store } = await open();
      const { revision: first } = await store.write([entry("a")], expiryContext());
      const { revision: second } = await store.write([entry("b")], expiryContext());
      const forged = { number: first.number, stamp: "0123456789abcdef" };
      const ahead = { number: second.number + 1, stamp: second.stamp };
      expect(await store.missing([first, second, forged, ahead])).to.deep.equal([forged, ahead]);
    });

    it("accepts a revision that is older than all stored stamps", async () => {
      const { store, engine } = await open();
      const { revision } = await store.write([entry("a")], expiryContext());
      await store.write([entry("b")], expiryContext());
      await engine.knex("blacklist_commits").where("revision", "<=", revision.number).delete();
      expect(await store.missing([{ number: revision.number, stamp: "0123456789abcdef" }])).to.deep.equal([]);
    });
  });
}
