import { expect } from "chai";
import type { Revision } from "../../../src/revision.ts";
import { KnexStore } from "../../../src/store/knex-store.ts";
import type { Store } from "../../../src/store/store.ts";
import { systemClock } from "../../../src/time/clock.ts";
import { cutEngine } from "../../support/cut-engine.ts";
import { reasonOf } from "../../support/rejection.ts";
import { entry, expiryContext, jti, LEEWAY, type OpenStores } from "../open-test-store.ts";

type Rows = readonly (readonly unknown[])[];

/** A truncated result. A result of one row arrives whole or not at all. */
const CUTS: Readonly<Record<string, (rows: Rows) => Rows>> = {
  "its last row": (rows) => (rows.length > 1 ? rows.slice(0, -1) : rows),
  "all but its first row": (rows) => rows.slice(0, 1),
  "every row": () => [],
};
const CUTS_ANYWHERE = {
  ...CUTS,
  "its first row": (rows: Rows) => (rows.length > 1 ? rows.slice(1) : rows),
  "a row in its middle": (rows: Rows) => (rows.length > 2 ? rows.filter((_, index) => index !== 1) : rows),
};

export function describeCutAnswers({ open }: OpenStores): void {
  describe("a truncated result", () => {
    const BEGINNING = { revision: 0, key: new Uint8Array() };
    const names = ["a", "b", "c", "d"].map(jti);
    let revisions: Revision[];

    async function cutBy(cut: (rows: Rows) => Rows): Promise<Store> {
      const { engine, store } = await open();
      revisions = [];
      for (const name of names) revisions.push((await store.write([entry(name)], expiryContext())).revision);
      return new KnexStore(cutEngine(engine, cut), { clock: systemClock, leewayMs: LEEWAY });
    }

    for (const [what, cut] of Object.entries(CUTS_ANYWHERE)) {
      it(`is refused by a look-up, by the changes and by the search for revisions (without ${what})`, async () => {
        const store = await cutBy(cut);
        const tail = store.openTail();
        expect(await reasonOf(store.read(names))).to.equal("STORE_UNAVAILABLE");
        expect(await reasonOf(store.missing(revisions))).to.equal("STORE_UNAVAILABLE");
        expect(await reasonOf(tail.changes(BEGINNING, undefined))).to.equal("STORE_UNAVAILABLE");
        tail.close();
      });
    }

    for (const [what, cut] of Object.entries(CUTS)) {
      it(`is refused by a scan (without ${what})`, async () => {
        const tail = (await cutBy(cut)).openTail();
        expect(await reasonOf(tail.scan(new Uint8Array()))).to.equal("STORE_UNAVAILABLE");
        tail.close();
      });
    }

    it("is refused by a scan if it has no rows although there are more", async () => {
      const tail = (await cutBy((rows) => (rows.length > 1 ? [] : rows))).openTail();
      expect(await reasonOf(tail.scan(new Uint8Array()))).to.equal("STORE_UNAVAILABLE");
      tail.close();
    });
  });
}
