import { expect } from "chai";
import { reasonOf, rejection } from "../../support/rejection.ts";
import { entry, expiryContext, type OpenStores } from "../open-test-store.ts";

export function describeOpening({ open, reopen }: OpenStores): void {
  describe("open", () => {
    it("finds the same database again", async () => {
      const first = await (await open()).store.open();
      const second = await (await reopen()).store.open();
      expect(second).to.deep.equal(first);
      expect([first.generation.length, first.secret.length]).to.deep.equal([32, 32]);
    });

    it("refuses a schema that no longer supports this version, with instructions", async () => {
      const { engine } = await open();
      await engine.knex("blacklist_state").update({ oldest_code: 1000 });
      const error = await rejection(reopen());
      expect(error)
        .to.include({ name: "SchemaError" })
        .and.property("message")
        .match(/upgrade token-blacklist/);
    });

    it("fails before the database has stored the leeway", async () => {
      const { engine } = await open({ leewayMs: 1000 });
      // A trigger that undoes the statement, in either dialect.
      await engine.knex.raw(
        engine.migratesOnOpen
          ? `CREATE TRIGGER forgets AFTER UPDATE OF leeway_ms ON blacklist_state WHEN NEW.leeway_ms > 1000
             BEGIN UPDATE blacklist_state SET leeway_ms = 1000; END`
          : "CREATE TRIGGER forgets BEFORE UPDATE ON blacklist_state FOR EACH ROW SET NEW.leeway_ms = OLD.leeway_ms",
      );
      expect(await reasonOf(reopen({ leewayMs: 2000 }))).to.equal("STORE_UNAVAILABLE");
      expect((await reopen({ leewayMs: 1000 })).store).to.have.property("poolUse");
    });

    it("accepts a newer compatible schema, and logs it", async () => {
      const { engine } = await open();
      await engine
        .knex("blacklist_migrations")
        .insert({ name: "9999-future", batch: 9, migration_time: new Date() });
      const { store } = await reopen();
      expect((await store.open()).remark).to.match(/newer.*9999-future/);
      expect((await store.write([entry("a")], expiryContext())).results[0]?.outcome).to.equal("created");
    });
  });
}
