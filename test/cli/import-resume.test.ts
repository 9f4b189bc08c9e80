import { lstat, readdir, readFile, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { expect } from "chai";
import { ServiceError } from "../../src/errors.ts";
import type { Script } from "../client/scripted-service.ts";
import { freshFolder } from "../support/shared.ts";
import { line, lines, rowOf } from "./import-input.ts";
import { MemoryBlacklist } from "./memory-blacklist.ts";
import { runAgainst } from "./with-service.ts";

describe("an interrupted import", () => {
  const COUNT = 20_000;
  let folder: string;
  let file: string;
  let memory: MemoryBlacklist;

  beforeEach(async () => {
    folder = await freshFolder();
    file = join(folder, "tokens.ndjson");
    memory = new MemoryBlacklist();
    // Among the first lines, so that both runs count it.
    await writeFile(file, `nonsense\n${lines(COUNT)}`);
  });

  /** Fails permanently at the `nth` call. */
  async function interrupt(nth: number): Promise<void> {
    let calls = 0;
    const script: Script = {
      blacklist: (request) => {
        if (++calls >= nth) throw new ServiceError("INTERNAL", "the service breaks");
        return memory.blacklist(request);
      },
    };
    const { exitCode } = await runAgainst(script, ["import", file]);
    expect(exitCode).to.equal(70);
  }

  const resume = (path = file) =>
    runAgainst(memory.script, ["import", path, "--resume", "--output", "ndjson"]);

  it("resumes after the completed lines, counts them, and leaves no checkpoint", async () => {
    await interrupt(8);
    memory.sizes.length = 0;
    const { exitCode, stdout } = await resume();
    const { lines: read, created, already_blacklisted, refused } = rowOf(stdout);
    expect({
      exitCode,
      read,
      stored: memory.entries.size,
      sum: created + already_blacklisted,
      refused,
    }).to.deep.equal({
      exitCode: 2,
      read: COUNT + 1,
      stored: COUNT,
      sum: COUNT,
      refused: 1,
    });
    // The last stored batch, to verify that it exists, and those that were not stored.
    expect(memory.sizes.length).to.be.below(COUNT / 1000);
    expect(await readdir(folder)).to.deep.equal(["tokens.ndjson"]);
  });

  it("repeats a failed batch although later ones were stored", async () => {
    const script: Script = {
      blacklist: (request) => {
        if (request.tokens.some(({ token }) => token.value === "jti-5500"))
          throw new ServiceError("INTERNAL", "the service breaks");
        return memory.blacklist(request);
      },
    };
    // With a fake clock, the checkpoint is only written at the end.
    const { exitCode } = await runAgainst(script, ["import", file]);
    const storedLater = memory.entries.has("jti-6500");
    const { stdout } = await resume();
    expect({ exitCode, storedLater, stored: memory.entries.size, read: rowOf(stdout).lines }).to.deep.equal({
      ...{ exitCode: 70, storedLater: true, stored: COUNT },
      read: COUNT + 1,
    });
  });

  it("is refused if the input has changed", async () => {
    await interrupt(8);
    await writeFile(file, (await readFile(file, "utf8")).replace("nonsense", line("mended")));
    const { exitCode, stderr } = await resume();
    expect([
      exitCode,
      /^error: the input is not that of the interrupted import: its first \d+ lines differ/.test(stderr),
    ]).to.deep.equal([2, true]);
  });

  it("is refused if the input has become shorter", async () => {
    await interrupt(8);
    await writeFile(file, "nonsense\n");
    expect((await resume()).exitCode).to.equal(2);
  });

  it("is refused if the service lacks entries that were stored", async () => {
    await interrupt(8);
    memory.entries.clear();
    const { exitCode, stderr } = await resume();
    expect([
      exitCode,
      /the service lacks entries that were stored up to line \d+/.test(stderr),
    ]).to.deep.equal([70, true]);
  });

  it("is refused if there is no checkpoint, or it is damaged", async () => {
    const none = await resume();
    await writeFile(`${file}.import`, "{");
    const damaged = await resume();
    const stdin = await runAgainst(memory.script, ["import", "-", "--resume"]);
    expect([none, damaged, stdin].map(({ exitCode, stderr }) => [exitCode, stderr])).to.deep.equal([
      [2, `error: there is no import to resume (ENOENT for ${file}.import): omit --resume\n`],
      [
        2,
        `error: ${file}.import is not a checkpoint, or is damaged: delete it and start over without --resume, which is safe\n`,
      ],
      [2, "error: --resume from standard input needs the --checkpoint of the interrupted import\n"],
    ]);
  });

  it("is refused if its checkpoint has impossible values, each of which is validated", async () => {
    await interrupt(8);
    const whole = JSON.parse(await readFile(`${file}.import`, "utf8"));
    const wrong = [
      ...[null, 7, "x", [], {}, { ...whole, line: -1 }, { ...whole, line: 1.5 }, { ...whole, digest: 7 }],
      ...[
        { ...whole, counts: undefined },
        { ...whole, counts: null },
        { ...whole, counts: {} },
      ],
      { ...whole, counts: { ...whole.counts, created: "7" } },
      { ...whole, counts: { ...whole.counts, created: -7 } },
      { ...whole, version: 2 },
    ].map((value) => JSON.stringify(value));
    const inherited = JSON.stringify({ ...whole, counts: {} }).replace(
      '"counts":{}',
      `"counts":{"__proto__":${JSON.stringify(whole.counts)}}`,
    );
    for (const text of [...wrong, inherited]) {
      await writeFile(`${file}.import`, text);
      const { exitCode, stderr } = await resume();
      expect([exitCode, /is not a checkpoint, or is damaged/.test(stderr)], text).to.deep.equal([2, true]);
    }
  });

  it("writes its checkpoint readable only by its owner, and is refused if a link has its name", async () => {
    await interrupt(8);
    const { mode } = await stat(`${file}.import`);
    expect(mode & 0o777).to.equal(0o600);
    await rm(`${file}.import`);
    const victim = join(await freshFolder(), "victim");
    for (const name of [`${file}.import`, `${file}.import.new`]) {
      for (const text of ["another file", "", '{"version":1,']) {
        for (const target of [victim, `${victim}-absent`]) {
          await writeFile(victim, text);
          await symlink(target, name);
          const { exitCode, stderr } = await runAgainst(memory.script, ["import", file]);
          expect([exitCode, stderr.includes(`${name} exists and is not a checkpoint`)], stderr).to.deep.equal(
            [2, true],
          );
          expect((await lstat(name)).isSymbolicLink()).to.equal(true);
          expect([await readFile(victim, "utf8"), await readdir(dirname(victim))]).to.deep.equal([
            text,
            ["victim"],
          ]);
          await rm(name);
        }
      }
    }
  });

  it("does not resume from a checkpoint that is a link", async () => {
    await interrupt(8);
    await rename(`${file}.import`, join(folder, "moved"));
    await symlink(join(folder, "moved"), `${file}.import`);
    const { exitCode, stderr } = await resume();
    expect([exitCode, /ELOOP/.test(stderr)]).to.deep.equal([2, true]);
    expect((await stat(join(folder, "moved"))).isFile()).to.equal(true);
  });

  it("can use another path for its checkpoint, and is refused at once if that is not writable", async () => {
    const { exitCode, stderr } = await runAgainst(memory.script, [
      "import",
      file,
      "--checkpoint",
      join(folder, "no/such"),
    ]);
    expect([exitCode, stderr, memory.sizes]).to.deep.equal([
      2,
      `error: the checkpoint ${join(folder, "no/such")} cannot be written (ENOENT): choose another path with --checkpoint\n`,
      [],
    ]);
  });

  it("overwrites and deletes only checkpoints", async () => {
    const input = await readFile(file, "utf8");
    const wrong = "exists and is not a checkpoint: choose another path with --checkpoint, or delete it";
    const named = join(folder, "backup");
    await writeFile(named, "all that is left\n");
    await writeFile(`${file}.new`, input);
    const attempts = [
      [file, "--checkpoint", file],
      [file, "--checkpoint", named],
      [file, "--checkpoint", folder],
      [`${file}.new`, "--checkpoint", file],
    ];
    const results = [];
    for (const attempt of attempts) {
      const { exitCode, stderr } = await runAgainst(memory.script, ["import", ...attempt]);
      results.push([exitCode, stderr]);
    }
    expect(results).to.deep.equal(
      [file, named, folder, file].map((path) => [2, `error: ${path} ${wrong}\n`]),
    );
    expect(memory.sizes).to.deep.equal([]);
    expect([
      await readFile(file, "utf8"),
      await readFile(`${file}.new`, "utf8"),
      await readFile(named, "utf8"),
    ]).to.deep.equal([input, input, "all that is left\n"]);
    await rm(file);
    const beside = await runAgainst(memory.script, ["import", `${file}.new`, "--checkpoint", file]);
    expect([beside.exitCode, beside.stderr]).to.deep.equal([2, `error: ${file}.new ${wrong}\n`]);
  });

  it("accepts an empty file and an earlier checkpoint as its checkpoint", async () => {
    const checkpoint = join(folder, "mktemp");
    await writeFile(file, lines(3));
    for (const before of ["", '{"version":1,"line":1,"digest":"","counts":{}}']) {
      await writeFile(checkpoint, before);
      const { exitCode } = await runAgainst(memory.script, ["import", file, "--checkpoint", checkpoint]);
      expect(exitCode).to.equal(0);
    }
  });

  it("refuses a folder, and reports that nothing was stored", async () => {
    const { exitCode, stderr } = await runAgainst(memory.script, ["import", folder]);
    expect([exitCode, stderr]).to.deep.equal([2, `error: ${folder} cannot be read (EISDIR)\n`]);
    expect(await readdir(folder)).to.deep.equal([basename(file)]);
  });
});
