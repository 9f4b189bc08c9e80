import { expect } from "chai";
import { backends } from "../support/backends.ts";
import { openTestStore } from "./open-test-store.ts";

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
});
