import { chmod, mkdir, readdir, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { expect } from "chai";
import { ServiceError } from "../../src/errors.ts";
import { backends } from "../support/backends.ts";
import { reasonOf, rejection } from "../support/rejection.ts";
import { startService } from "../support/service.ts";
import { freshFolder } from "../support/shared.ts";
import { entry, expiryContext, jti, openTestStore, query } from "./open-test-store.ts";

const modeOf = async (path: string) => ((await stat(path)).mode & 0o777).toString(8);

describe("the embedded file", () => {
  it("is flushed at every commit, and locked by this process", async () => {
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

  it("acknowledges only commits that are stored", async () => {
    const [sqlite] = backends;
    const database = await sqlite?.create();
    const { store, engine } = await openTestStore(String(database?.url));
    try {
      await engine.knex.raw(
        `CREATE TRIGGER forgets AFTER INSERT ON blacklist_commits
         BEGIN DELETE FROM blacklist_commits WHERE revision = NEW.revision; END`,
      );
      expect(await reasonOf(store.write([entry("a")], expiryContext()))).to.equal("STORE_UNAVAILABLE");
    } finally {
      await store.close();
      await database?.dispose();
    }
  });

  it("is unavailable without its tables, and blames a statement only for its syntax and its data", async () => {
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
      const prune = {
        ...expiryContext(),
        retentionMs: 0,
        limit: 10,
        expiredBefore: undefined,
        dryRun: false,
      };
      const calls = [
        store.write([entry("a")], expiryContext()),
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

  it("is created for its owner only, with its folder and the files beside it, under any umask", async () => {
    const folder = join(await freshFolder(), "made");
    const umask = process.umask(0);
    const running = await startService({ url: `sqlite:${join(folder, "tokens.db")}` }).finally(() =>
      process.umask(umask),
    );
    try {
      await running.client.blacklist({
        tokens: [{ token: { case: "jti", value: "a" }, expiresAt: timestampFromMs(Date.now() + 60_000) }],
      });
      const files = await readdir(folder);
      expect(files).to.include.members(["tokens.db", "tokens.db-wal"]);
      for (const file of files) expect(await modeOf(join(folder, file)), file).to.equal("600");
      expect(await modeOf(folder)).to.equal("700");
      expect(running.logText()).not.to.include("chmod");
    } finally {
      await running.stop();
    }
  });

  it("is created the same way at a dangling link, and in an existing folder, which is not changed", async () => {
    const folder = await freshFolder();
    await mkdir(join(folder, "shared"), { mode: 0o755 });
    await symlink(join(folder, "elsewhere.db"), join(folder, "shared", "tokens.db"));
    const { store } = await openTestStore(`sqlite:${join(folder, "shared", "tokens.db")}`);
    await store.close();
    expect(await modeOf(join(folder, "elsewhere.db"))).to.equal("600");
    expect(await modeOf(join(folder, "shared"))).to.equal("755");
  });

  it("causes one warning at the start while other users may read or change it", async () => {
    for (const [mode, warned] of [
      [0o644, true],
      [0o640, true],
      [0o602, true],
      [0o600, false],
      [0o400 | 0o200, false],
    ] as const) {
      const filename = join(await freshFolder(), "tokens.db");
      await writeFile(filename, "");
      await chmod(filename, mode);
      const running = await startService({ url: `sqlite:${filename}` });
      await running.stop();
      const lines = running.logs().filter(({ msg }) => String(msg).includes("chmod 600"));
      expect(
        lines.map(({ level, files }) => [level, (files as string[])[0]]),
        mode.toString(8),
      ).to.deep.equal(warned ? [["warn", `${filename} (0${mode.toString(8)})`]] : []);
    }
  });
});
