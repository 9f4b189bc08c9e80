import { expect } from "chai";
import { ServiceError } from "../../src/errors.ts";
import { backends } from "../support/backends.ts";
import { reasonOf, rejection } from "../support/rejection.ts";
import { entry, jti, openTestStore, query, terms } from "./open-test-store.ts";

describe("the embedded file", () => {
  it("is flushed at every commit, and locked for this process alone", async () => {
    const [sqlite] = backends;
    const database = await sqlite?.create();
    const { store, engine } = await openTestStore(String(database?.url));
    try {
      const [[{ synchronous }], [{ journal_mode }], [{ locking_mode }]] = await Promise.all(
        ["synchronous", "journal_mode", "locking_mode"].map((name) => engine.knex.raw(`PRAGMA ${name}`)),
      );
      // 2 is FULL: the write-ahead log reaches the disk before a commit is acknowledged.
      expect([synchronous, journal_mode, locking_mode]).to.deep.equal([2, "wal", "exclusive"]);
    } finally {
      await store.close();
      await database?.dispose();
    }
  });

  it("acknowledges a commit only if it is there afterwards", async () => {
    const [sqlite] = backends;
    const database = await sqlite?.create();
    const { store, engine } = await openTestStore(String(database?.url));
    try {
      await engine.knex.raw(
        `CREATE TRIGGER forgets AFTER INSERT ON blacklist_commits
         BEGIN DELETE FROM blacklist_commits WHERE revision = NEW.revision; END`,
      );
      expect(await reasonOf(store.write([entry("a")], terms()))).to.equal("STORE_UNAVAILABLE");
    } finally {
      await store.close();
      await database?.dispose();
    }
  });

  it("is unavailable without its tables, and blames a statement for nothing but its syntax and its data", async () => {
    const [sqlite] = backends;
    const database = await sqlite?.create();
    const { store, engine } = await openTestStore(String(database?.url));
    try {
      const blamed = async (sql: string) => !((await rejection(engine.select(sql))) instanceof ServiceError);
      expect([
        await blamed("SELEKT 1"),
        await blamed("SELECT * FROM elsewhere"),
        await blamed("SELECT elsewhere FROM blacklist_state"),
      ]).to.deep.equal([true, false, false]);
      await engine.knex.schema.renameTable("blacklisted_tokens", "elsewhere");
      const prune = { ...terms(), retentionMs: 0, limit: 10, expiredBefore: undefined, dryRun: false };
      const calls = [
        store.write([entry("a")], terms()),
        store.read([jti("a")]),
        store.list(query({})),
        store.prune(prune),
      ];
      expect(await Promise.all(calls.map(reasonOf))).to.deep.equal(calls.map(() => "STORE_UNAVAILABLE"));
    } finally {
      await store.close();
      await database?.dispose();
    }
  });
});
