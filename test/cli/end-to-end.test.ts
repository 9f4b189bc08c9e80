import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { expect } from "chai";
import pino from "pino";
import { readConfig } from "../../src/config/config.ts";
import { formatHostPort } from "../../src/connections/host-port.ts";
import { type Service, start } from "../../src/start/service.ts";
import { systemClock } from "../../src/time/clock.ts";
import { startService } from "../support/service.ts";
import { freshFolder } from "../support/shared.ts";
import { runCli } from "./run-cli.ts";

const COUNT = 5000;
const JTIS = Array.from({ length: COUNT }, (_, index) => `jti-${String(index).padStart(4, "0")}`);

interface Row {
  readonly jti: string;
  readonly outcome?: string;
  readonly verdict?: string;
}

describe("the command with a service", () => {
  let service: Service;
  let address: string;

  before(async () => {
    const config = readConfig({
      DATABASE_URL: `sqlite:${join(await freshFolder(), "cli.db")}`,
      LISTEN_ADDRESS: "127.0.0.1:0",
      ADMIN_ADDRESS: "127.0.0.1:0",
      SHUTDOWN_GRACE: "1s",
    });
    service = await start(config, { log: pino({ enabled: false }) });
    address = formatHostPort(service.address);
  });

  after(() => service.close());

  async function rows(argv: readonly string[], stdin = ""): Promise<{ exitCode: number; rows: Row[] }> {
    const { exitCode, stdout, stderr } = await runCli([...argv, "--output", "ndjson", "--address", address], {
      stdin,
      io: { clock: systemClock },
    });
    // One jti ends with a space, which causes a warning.
    if (!/^(?:warning: [^\n]*\n)*$/.test(stderr)) throw new Error(stderr);
    return {
      exitCode,
      rows: stdout
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line) as Row),
    };
  }

  it(`blacklists, finds and lists ${COUNT} tokens from standard input`, async () => {
    const stdin = JTIS.map((jti) => `${jti}\n`).join("");
    const blacklisted = await rows(["blacklist", "-", "--expires-at", "1h"], stdin);
    const again = await rows(["blacklist", "-", "--expires-at", "30m"], stdin);
    const checked = await rows(["check", "-"], stdin);
    const listed = await rows(["list", "--all"]);
    expect({
      codes: [blacklisted.exitCode, again.exitCode, checked.exitCode, listed.exitCode],
      blacklisted: blacklisted.rows.map(({ jti, outcome }) => [jti, outcome]),
      again: again.rows.map(({ jti, outcome }) => [jti, outcome]),
      checked: checked.rows.map(({ jti, verdict }) => [jti, verdict]),
      listed: listed.rows.map(({ jti }) => jti).sort(),
    }).to.deep.equal({
      codes: [0, 0, 1, 0],
      blacklisted: JTIS.map((jti) => [jti, "created"]),
      again: JTIS.map((jti) => [jti, "already_blacklisted"]),
      checked: JTIS.map((jti) => [jti, "blacklisted"]),
      listed: JTIS,
    });
  });

  it("exports and imports entries without losing a millisecond of an expiry", async () => {
    const folder = await freshFolder();
    const file = join(folder, "moved.ndjson");
    const elsewhere = await startService({ url: `sqlite:${join(folder, "elsewhere.db")}` });
    const command = async (...argv: string[]) => {
      const { exitCode, stdout, stderr } = await runCli(argv, { io: { clock: systemClock } });
      if (exitCode !== 0) throw new Error(stderr);
      return stdout;
    };
    try {
      const inAMinute = Date.now() + 60_000;
      const odd = ["é", "e\u0301", "a\u202eb", "line\nbreak", " ", "\ud83d\ude00"].map((jti, index) => ({
        jti,
        expires_at: new Date(inAMinute + index).toISOString(),
        reason: `because ${index} \u001b`,
      }));
      await rows(["blacklist", "-"], odd.map((token) => `${JSON.stringify(token)}\n`).join(""));
      await command("export", "--output", file, "--address", address);
      const imported = await command("import", file, "--output", "ndjson", "--address", elsewhere.address);
      const exported = await command("export", "--address", elsewhere.address);
      const known = (text: string) =>
        text
          .trimEnd()
          .split("\n")
          .map((line) => JSON.parse(line) as { jti: string; expires_at: string; reason: string })
          .map(({ jti, expires_at, reason }) => `${expires_at} ${reason} ${jti}`)
          .sort();
      const before = known(await readFile(file, "utf8"));
      expect(JSON.parse(imported)).to.include({ lines: before.length, created: before.length, refused: 0 });
      expect(known(exported)).to.deep.equal(before);
      expect(before).to.include.members(
        odd.map(({ jti, expires_at, reason }) => `${expires_at} ${reason} ${jti}`),
      );
    } finally {
      await elsewhere.stop();
    }
  });

  it("names the line of standard input that the service refuses", async () => {
    const { exitCode, stdout, stderr } = await runCli(["blacklist", "-", "--address", address], {
      stdin: '{"jti":"a","expires_at":"1h"}\n{"jti":"b","expires_at":"2001-01-01T00:00:00Z"}\n',
      io: { clock: systemClock },
    });
    expect({ exitCode, stdout, lines: stderr.split("\n").map((line) => line.slice(0, 27)) }).to.deep.equal({
      exitCode: 2,
      stdout: "",
      lines: ["error: line 2: expires_at: ", "Nothing was stored.", ""],
    });
  });

  function spawnMain(
    ...argv: string[]
  ): ChildProcess & { stdout: NodeJS.ReadableStream; stderr: NodeJS.ReadableStream } {
    const main = ["--import", "tsx", "src/main.ts", ...argv, "--address", address];
    return spawn(process.execPath, main, { stdio: ["pipe", "pipe", "pipe"] }) as never;
  }

  it("ends silently when the reader of its pipe has closed it", async () => {
    const child = spawnMain("list", "--all");
    const ended = Promise.all([once(child, "exit"), text(child.stderr)]);
    await once(child.stdout, "data");
    (child.stdout as unknown as { destroy(): void }).destroy();
    const [[code], stderr] = await ended;
    expect({ code, stderr }).to.deep.equal({ code: 0, stderr: "" });
  });

  it("ends at once with 130 on Ctrl-C while it waits for input", async () => {
    const child = spawnMain("check", "-");
    const ended = Promise.all([once(child, "exit"), text(child.stderr)]);
    child.stdin?.write("jti-0000\n");
    await once(child.stdout, "data");
    child.kill("SIGINT");
    const [[code], stderr] = await ended;
    expect({ code, stderr }).to.deep.equal({ code: 130, stderr: "interrupted\n" });
  });
});
