import {
  lstat,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  truncate,
  writeFile,
} from "node:fs/promises";
import { dirname, join } from "node:path";
import { Writable } from "node:stream";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { expect } from "chai";
import type { ListRequest } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { ServiceError, storeUnavailable } from "../../src/errors.ts";
import { systemClock } from "../../src/time/clock.ts";
import type { Script } from "../client/scripted-service.ts";
import { freshFolder } from "../support/shared.ts";
import { NOW, runCli } from "./run-cli.ts";
import { runAgainst } from "./with-service.ts";

const HOUR = 3_600_000;
const FILTER = ["--include-expired", "--revoked-by", "auth", "--created-after", "1h", "--jti", "x"];

/** Has `count` entries; a page token is the next index. A request for `failAt` fails permanently. */
function holding(count: number, failAt?: number): Script {
  return {
    list: ({ pageSize, pageToken }) => {
      const start = Number(pageToken);
      if (failAt !== undefined && start >= failAt) throw new ServiceError("INTERNAL", "the service breaks");
      const end = Math.min(start + pageSize, count);
      const tokens = Array.from({ length: end - start }, (_, index) => ({
        jti: `jti-${start + index}`,
        reason: "漢字\u202e\n",
        expiresAt: timestampFromMs(NOW + HOUR),
      }));
      return { tokens, nextPageToken: end < count ? String(end) : "" };
    },
  };
}

function jtisOf(text: string): string[] {
  const lines = text.split("\n");
  if (lines.pop() !== "") throw new Error("the last line is not whole");
  return lines.map((line) => (JSON.parse(line) as { jti: string }).jti);
}

const expected = (count: number) => Array.from({ length: count }, (_, index) => `jti-${index}`);
const asked = (service: { calls: readonly { request: object }[] }) =>
  service.calls.map(({ request }) => request as ListRequest);

describe("export", () => {
  let folder: string;
  let file: string;

  beforeEach(async () => {
    folder = await freshFolder();
    file = join(folder, "out.ndjson");
  });

  it("writes every entry with all fields, one per line", async () => {
    const script: Script = {
      list: () => ({
        tokens: [
          {
            jti: "a",
            expiresAt: timestampFromMs(NOW + 1),
            createdAt: timestampFromMs(NOW - 1),
            reason: "stolen\n\x1b",
            revokedBy: "auth",
          },
          { jti: "b", expiresAt: timestampFromMs(NOW) },
        ],
      }),
    };
    const { exitCode, stdout, stderr } = await runAgainst(script, ["export"]);
    expect({ exitCode, stdout, stderr }).to.deep.equal({
      exitCode: 0,
      stdout:
        '{"jti":"a","expires_at":"2030-01-01T00:00:00.001Z","created_at":"2029-12-31T23:59:59.999Z","reason":"stolen\\n\\u001b","revoked_by":"auth"}\n' +
        '{"jti":"b","expires_at":"2030-01-01T00:00:00.000Z","created_at":null,"reason":"","revoked_by":""}\n',
      stderr: "",
    });
  });

  it("reads all pages, 1000 entries each, with its filters on every page", async () => {
    const { stdout, service } = await runAgainst(holding(3500), ["export", ...FILTER]);
    expect(jtisOf(stdout)).to.deep.equal(expected(3500));
    const filters = asked(service).map(
      ({ pageSize, pageToken, includeExpired, revokedBy, jtis, createdAfter }) => ({
        ...{ pageSize, pageToken, includeExpired, revokedBy, jtis },
        after: createdAfter?.seconds,
      }),
    );
    const each = {
      ...{ pageSize: 1000, includeExpired: true, revokedBy: "auth", jtis: ["x"] },
      after: BigInt((NOW - HOUR) / 1000),
    };
    expect(filters).to.deep.equal(["", "1000", "2000", "3000"].map((pageToken) => ({ ...each, pageToken })));
  });

  it("creates the named file when it is complete, replacing an older one, readable only by its owner", async () => {
    await writeFile(file, "older");
    const { exitCode, stdout } = await runAgainst(holding(2500), ["export", "--output", file]);
    const text = await readFile(file, "utf8");
    const { mode } = await stat(file);
    expect({
      exitCode,
      stdout,
      jtis: jtisOf(text),
      mode: mode & 0o777,
      left: await readdir(folder),
    }).to.deep.equal({
      exitCode: 0,
      stdout: "",
      jtis: expected(2500),
      mode: 0o600,
      left: ["out.ndjson"],
    });
  });

  it("ends with an error if a page token repeats, instead of looping", async () => {
    for (const tokens of [["a"], ["a", "b"], ["a", "b", "c", "b"], [""]]) {
      let page = 0;
      // An empty token ends a listing, unless the first page is requested again.
      const script: Script = {
        list: ({ pageToken }) => {
          if (page++ > 20) throw new ServiceError("INTERNAL", "asked for ever");
          const at = pageToken === "" ? 0 : tokens.indexOf(pageToken) + 1;
          return { tokens: [], nextPageToken: tokens[at % tokens.length] || "x".repeat(5000) };
        },
      };
      for (const args of [["export"], ["export", "--output", file], ["list", "--all"]]) {
        page = 0;
        const { exitCode, stderr } = await runAgainst(script, args);
        expect([exitCode, stderr], `${args} ${tokens}`).to.satisfy(
          ([code, text]: [number, string]) => code !== 0 && /page token/.test(text),
        );
        expect(page).to.be.at.most(tokens.length + 1);
        for (const left of await readdir(folder)) await rm(join(folder, left));
      }
    }
  });

  describe("into a folder that others may write to", () => {
    const ANOTHER = "another file";
    let victim: string;

    beforeEach(async () => {
      victim = join(await freshFolder(), "victim");
      await writeFile(victim, ANOTHER, { mode: 0o644 });
    });

    for (const name of ["out.ndjson.part.state.new", "out.ndjson.part.state", "out.ndjson"]) {
      for (const isThere of [true, false]) {
        it(`replaces a link at ${name} to ${isThere ? "a file" : "nothing"}, and leaves its target unchanged`, async () => {
          const target = isThere ? victim : `${victim}-absent`;
          await symlink(target, join(folder, name));
          const { exitCode, stderr } = await runAgainst(holding(2500), ["export", "--output", file]);
          expect({ exitCode, stderr }).to.deep.equal({ exitCode: 0, stderr: "" });
          expect(await readFile(victim, "utf8")).to.equal(ANOTHER);
          expect(await readdir(dirname(victim))).to.deep.equal(["victim"]);
          const made = await lstat(file);
          expect({ isFile: made.isFile(), mode: made.mode & 0o777 }).to.deep.equal({
            isFile: true,
            mode: 0o600,
          });
        });
      }
    }

    it("is refused if a link or another file has the name of a temporary file", async () => {
      for (const target of [victim, `${victim}-absent`]) {
        await symlink(target, `${file}.part`);
        const { exitCode } = await runAgainst(holding(2500), ["export", "--output", file]);
        expect(exitCode).to.equal(2);
        expect(await readFile(victim, "utf8")).to.equal(ANOTHER);
        await rm(`${file}.part`);
      }
    });

    it("writes its state readable only by its owner, and does not resume through a link", async () => {
      await runAgainst(holding(2500, 1000), ["export", "--output", file]);
      for (const name of await readdir(folder)) {
        const { mode } = await stat(join(folder, name));
        expect([name, mode & 0o777]).to.deep.equal([name, 0o600]);
      }
      for (const name of [`${file}.part`, `${file}.part.state`]) {
        await rename(name, `${name}-moved`);
        await symlink(`${name}-moved`, name);
        const text = await readFile(`${name}-moved`, "utf8");
        const { exitCode, stderr } = await runAgainst(holding(2500), [
          "export",
          "--output",
          file,
          "--resume",
        ]);
        expect([exitCode, /ELOOP/.test(stderr)], stderr).to.deep.equal([2, true]);
        expect(await readFile(`${name}-moved`, "utf8")).to.equal(text);
        await rename(`${name}-moved`, name);
      }
      const { exitCode } = await runAgainst(holding(2500), ["export", "--output", file, "--resume"]);
      expect(exitCode).to.equal(0);
    });
  });

  it("refuses a response with an entry without required fields", async () => {
    const { exitCode, stdout } = await runAgainst({ list: () => ({ tokens: [{ jti: "a" }] }) }, ["export"]);
    expect([exitCode, stdout]).to.deep.equal([70, ""]);
  });

  it("continues after an outage once a call has succeeded", async () => {
    let calls = 0;
    const whole = holding(5000);
    const script: Script = {
      list: (request, call) => {
        if (++calls > 2 && calls < 6) throw storeUnavailable("away");
        return whole.list?.(request, call) ?? {};
      },
    };
    const { exitCode, stdout } = await runAgainst(script, ["export"], { io: { clock: systemClock } });
    expect([exitCode, jtisOf(stdout)]).to.deep.equal([0, expected(5000)]);
  });

  it("ends with 70 if the reader of its output closes it, because the backup is incomplete", async () => {
    let lines = 0;
    const stdout = new Writable({
      write: (_, __, done) => done(++lines > 1 ? Object.assign(new Error("EPIPE"), { code: "EPIPE" }) : null),
    });
    const { exitCode, stderr } = await runAgainst(holding(5000), ["export"], { io: { stdout } });
    expect([exitCode, stderr]).to.deep.equal([
      70,
      "error: standard output was closed before all entries were written\n",
    ]);
  });

  describe("that was interrupted", () => {
    const interrupted = (failAt: number, ...argv: string[]) =>
      runAgainst(holding(5000, failAt), ["export", "--output", file, ...argv]);
    const resume = (script = holding(5000)) => runAgainst(script, ["export", "--output", file, "--resume"]);

    it("explains how to resume, and resumes at its page with its filters", async () => {
      const first = await interrupted(2000, ...FILTER);
      expect({
        exitCode: first.exitCode,
        note: first.stderr.trimEnd().split("\n").at(-1),
        left: await readdir(folder),
      }).to.deep.equal({
        exitCode: 70,
        note: `2000 entries are in ${file}.part: continue with --resume.`,
        left: ["out.ndjson.part", "out.ndjson.part.state"],
      });
      const { exitCode, service } = await resume();
      const requests = asked(service).map(({ pageToken, revokedBy, createdAfter }) => [
        pageToken,
        revokedBy,
        createdAfter?.seconds,
      ]);
      const after = BigInt((NOW - HOUR) / 1000);
      expect({
        exitCode,
        requests,
        jtis: jtisOf(await readFile(file, "utf8")),
        left: await readdir(folder),
      }).to.deep.equal({
        exitCode: 0,
        requests: ["2000", "3000", "4000"].map((token) => [token, "auth", after]),
        jtis: expected(5000),
        left: ["out.ndjson"],
      });
    });

    it("fetches again what was written after its last saved state", async () => {
      await interrupted(2000);
      const part = `${file}.part`;
      await writeFile(part, `${await readFile(part, "utf8")}{"jti":"torn${"x".repeat(1_000_000)}`);
      await resume();
      expect(jtisOf(await readFile(file, "utf8"))).to.deep.equal(expected(5000));
    });

    it("makes no call if only the rename was left", async () => {
      await interrupted(4000);
      const { filter } = JSON.parse(await readFile(`${file}.part.state`, "utf8"));
      const { size } = await stat(`${file}.part`);
      const state = { version: 1, filter, pageToken: null, count: 4000, bytes: size };
      await writeFile(`${file}.part.state`, JSON.stringify(state));
      const { exitCode, service } = await resume();
      expect([exitCode, service.calls.length, jtisOf(await readFile(file, "utf8"))]).to.deep.equal([
        0,
        0,
        expected(4000),
      ]);
    });

    it("is refused if its file was truncated or its state is damaged", async () => {
      await interrupted(2000);
      await truncate(`${file}.part`, 10);
      const short = await resume();
      await writeFile(`${file}.part.state`, "[]");
      const damaged = await resume();
      expect([short, damaged].map(({ exitCode, stderr }) => [exitCode, stderr])).to.deep.equal([
        [
          2,
          `error: ${file}.part is shorter than recorded: delete it and ${file}.part.state, and start over without --resume\n`,
        ],
        [
          2,
          `error: ${file}.part.state is damaged: delete it and ${file}.part, and start over without --resume\n`,
        ],
      ]);
    });

    it("is not overwritten by another export", async () => {
      await interrupted(2000);
      const { exitCode, stderr, service } = await runAgainst(holding(1), ["export", "--output", file]);
      expect([exitCode, stderr, service.calls.length]).to.deep.equal([
        2,
        `error: another export to ${file} was interrupted or is running: use --resume, or delete ${file}.part\n`,
        0,
      ]);
    });
  });

  it("is refused with 2 if there is nothing to resume or the file cannot be written", async () => {
    await mkdir(join(folder, "folder"));
    const results = [];
    for (const argv of [
      ["--resume"],
      ["--output", file, "--resume"],
      ["--output", file, "--resume", "--revoked-by", "a"],
      ["--output", join(folder, "folder")],
      ["--output", join(folder, "no/such")],
    ]) {
      const { exitCode, stderr } = await runAgainst(holding(1), ["export", ...argv]);
      results.push([exitCode, stderr.split("\n")[0]]);
    }
    expect(results).to.deep.equal([
      [2, "error: --resume needs --output, the file of the interrupted export"],
      [2, `error: there is no export to ${file} to resume (ENOENT for ${file}.part.state): omit --resume`],
      [2, "error: option '--resume' cannot be used with option '--revoked-by <caller>'"],
      [2, `error: ${join(folder, "folder")} is not a file`],
      [2, `error: ${join(folder, "no/such")}.part cannot be written (ENOENT)`],
    ]);
  });

  it("leaves no file if the service is unreachable, and reports an empty export", async () => {
    const { exitCode } = await runCli([
      "export",
      "--output",
      file,
      "--address",
      "no-such-host.invalid:50051",
    ]);
    expect([exitCode, await readdir(folder)]).to.deep.equal([69, []]);
    const empty = await runAgainst(holding(0), ["export", "--output", file]);
    expect([empty.exitCode, empty.stderr, await readdir(folder)]).to.deep.equal([
      0,
      "There were no entries to export.\n",
      ["out.ndjson"],
    ]);
  });
});
