import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { expect } from "chai";
import pino from "pino";
import { systemClock } from "../../src/clock.ts";
import { readConfig } from "../../src/config/config.ts";
import { formatHostPort } from "../../src/host-port.ts";
import { type Service, start } from "../../src/start.ts";
import { freshFolder } from "../support/shared.ts";
import { runCli } from "./run-cli.ts";

const COUNT = 5000;
const JTIS = Array.from({ length: COUNT }, (_, index) => `jti-${String(index).padStart(4, "0")}`);

interface Row {
  readonly jti: string;
  readonly outcome?: string;
  readonly verdict?: string;
}

describe("the command line and the service", () => {
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
    if (stderr !== "") throw new Error(stderr);
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

  it("says of a line of standard input that the service refuses it", async () => {
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

  it("ends quietly when the reader of its pipe has gone", async () => {
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
