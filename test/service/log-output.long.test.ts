import { execFileSync } from "node:child_process";
import { closeSync, constants, openSync, readSync, statSync, truncateSync } from "node:fs";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { createRpcClient, type RpcClient } from "../../src/client/rpc-client.ts";
import { MAX_BUFFERED_LENGTH } from "../../src/logging/log-output.ts";
import { freePort } from "../support/free-port.ts";
import { scrape } from "../support/scrape.ts";
import { CommandProcess, type CommandProcessOptions } from "../support/service-process.ts";
import { freshFolder } from "../support/shared.ts";
import { until } from "../support/until.ts";

const { O_NONBLOCK, O_RDONLY, O_WRONLY } = constants;
/** Of maximum length, so that few audit lines are much text. */
const JTIS = Array.from({ length: 20 }, (_, index) => `${index}-`.padEnd(255, "x"));
/** Calls with more log lines than the buffer holds. */
const ENOUGH_CALLS = 1.3 * (MAX_BUFFERED_LENGTH / (20 * 255));

type Outputs = Pick<CommandProcessOptions, "stdout" | "stderr">;

interface Started {
  readonly process: CommandProcess;
  readonly client: RpcClient;
  readonly adminUrl: string;
}

describe("a service whose log cannot be written", function () {
  this.timeout(120_000);
  let folder: string;
  const stops: (() => unknown)[] = [];

  beforeEach(async () => {
    folder = await freshFolder();
  });

  afterEach(async () => {
    for (const stop of stops.splice(0).reverse()) await stop();
    await rm(folder, { recursive: true, force: true });
  });

  async function serve(outputs: Outputs, env: Record<string, string> = {}): Promise<Started> {
    const [port, adminPort] = [await freePort(), await freePort()];
    const child = new CommandProcess(
      ["serve"],
      {
        DATABASE_URL: `sqlite:${join(folder, "x.db")}`,
        LISTEN_ADDRESS: `127.0.0.1:${port}`,
        ADMIN_ADDRESS: `127.0.0.1:${adminPort}`,
        SHUTDOWN_GRACE: "5s",
        LOG_LEVEL: "debug",
        ...env,
      },
      outputs,
    );
    const client = createRpcClient({ address: `127.0.0.1:${port}` });
    stops.push(
      () => child.kill(),
      () => client.close(),
    );
    const adminUrl = `http://127.0.0.1:${adminPort}`;
    await until(() => isReady(adminUrl), { withinMs: 20_000, what: "it is ready" });
    return { process: child, client, adminUrl };
  }

  async function isReady(adminUrl: string): Promise<boolean> {
    const response = await fetch(`${adminUrl}/readyz`).catch(() => undefined);
    return response?.status === 200;
  }

  /** More audit lines than the buffer holds, and as many others. */
  async function talk({ client }: Started): Promise<void> {
    const expiresAt = { seconds: 4_102_444_800n };
    const tokens = JTIS.map((value) => ({ token: { case: "jti" as const, value }, expiresAt }));
    let calls = 0;
    await Promise.all(
      Array.from({ length: 20 }, async () => {
        while (calls++ < ENOUGH_CALLS) await client.blacklist({ tokens }, { timeoutMs: 60_000 });
      }),
    );
  }

  async function dropped({ adminUrl }: Started): Promise<Record<string, number>> {
    const { series = [] } = (await scrape(adminUrl)).get("tokenblacklist_log_lines_dropped_total") ?? {};
    return Object.fromEntries(series.map(({ labels, value }) => [String(labels.line), value]));
  }

  async function stillWorks(started: Started): Promise<void> {
    const { verdicts } = await started.client.isBlacklisted({ jtis: [JTIS[0] as string, "another"] });
    expect(verdicts).to.have.length(2);
    expect(await isReady(started.adminUrl)).to.equal(true);
  }

  async function endsInTime({ process }: Started): Promise<void> {
    const before = performance.now();
    await process.signal("SIGTERM");
    const { code, signal } = await process.ended;
    expect([code, signal]).to.deep.equal([0, null]);
    // A tenth of the grace is notice, and the last lines may take a second.
    expect(performance.now() - before).to.be.below(5000);
  }

  /** A named pipe with both ends; the reading end keeps it open. */
  function pipe(): { readonly reader: number; readonly writer: number } {
    const path = join(folder, "pipe");
    execFileSync("mkfifo", [path]);
    const reader = openSync(path, O_RDONLY | O_NONBLOCK);
    const writer = openSync(path, O_WRONLY);
    stops.push(() => closeSync(writer));
    return { reader, writer };
  }

  const CANNOT: readonly (readonly [string, () => Outputs | Promise<Outputs>])[] = [
    ["goes to a full disk", () => ({ stdout: openSync("/dev/full", O_WRONLY) })],
    ["goes to an unread pipe", () => ({ stdout: pipe().writer })],
    [
      "shares an unread pipe with standard error",
      () => {
        const { writer } = pipe();
        return { stdout: writer, stderr: writer };
      },
    ],
    ["goes to an unread socket", () => ({ stdout: "unread" })],
    [
      "goes to a pipe without a reader",
      () => {
        const { reader, writer } = pipe();
        closeSync(reader);
        return { stdout: writer };
      },
    ],
  ];
  for (const [how, outputs] of CANNOT) {
    it(`responds, counts dropped lines, and stops on request if it ${how}`, async () => {
      const started = await serve(await outputs());
      await stillWorks(started);
      await talk(started);
      await stillWorks(started);
      const { audit = 0, other = 0 } = await dropped(started);
      expect(Math.min(audit, other)).to.be.above(0);
      // Audit lines are dropped last.
      expect(audit).to.be.below(other);
      await endsInTime(started);
    });
  }

  it("reports the number of dropped lines, and truncates none, once a pipe is read again", async () => {
    const { reader, writer } = pipe();
    stops.push(() => closeSync(reader));
    const started = await serve({ stdout: writer });
    await talk(started);
    const { audit = 0, other = 0 } = await dropped(started);
    expect(audit).to.be.above(0);
    let text = "";
    const read = () => {
      const buffer = Buffer.alloc(65_536);
      try {
        text += buffer.toString("latin1", 0, readSync(reader, buffer));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
      }
    };
    const gaps = () => linesOf(text).filter(({ msg }) => /^log lines were dropped/.test(String(msg)));
    const told = () => gaps().reduce((sum, { dropped: count }) => sum + Number(count), 0);
    const readUntil = (isSo: () => boolean | Promise<boolean>, what: string) =>
      until(
        () => {
          read();
          return isSo();
        },
        { withinMs: 20_000, what },
      );
    await readUntil(() => gaps().length > 0, "the gap is told");
    expect(gaps()[0]).to.include({ level: "warn", dropped: audit + other, dropped_audit: audit });
    // Later lines are written again, completely.
    await stillWorks(started);
    await readUntil(async () => {
      const now = await dropped(started);
      return told() === (now.audit ?? 0) + (now.other ?? 0);
    }, "every line that was dropped is told of");
    await started.process.signal("SIGTERM");
    await readUntil(() => /"msg":"stopped"\}\n$/.test(text), "the last line");
    expect((await started.process.ended).code).to.equal(0);
  });

  it("continues once a full disk has space, or explains why that cannot be tested", async function () {
    const disk = join(folder, "disk");
    await mkdir(disk);
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], { stdio: "ignore" });
    } catch {
      this.skip();
    }
    stops.push(() => execFileSync("umount", ["--lazy", disk]));
    await writeFile(join(disk, "ballast"), Buffer.alloc(150_000));
    const log = join(disk, "log");
    const descriptor = openSync(log, "a");
    const started = await serve({ stdout: descriptor });
    closeSync(descriptor);
    await talk(started);
    await stillWorks(started);
    expect((await dropped(started)).audit).to.be.above(0);
    // As an operator does: `> log`, and deletes the ballast.
    const kept = await readFile(log, "latin1");
    await rm(join(disk, "ballast"));
    const size = () => statSync(log).size;
    const before = size();
    await until(() => size() > before, { withinMs: 20_000, what: "the log grows again" });
    truncateSync(log);
    await stillWorks(started);
    await endsInTime(started);
    expect(linesOf(kept).length).to.be.above(0);
  });

  it("ends a failed start although its output is not read", async () => {
    const { writer } = pipe();
    execFileSync("sh", ["-c", `dd if=/dev/zero of=${join(folder, "pipe")} bs=4096 count=16 2> /dev/null`], {
      stdio: "ignore",
    });
    const child = new CommandProcess(
      ["serve"],
      { DATABASE_URL: `sqlite:${folder}`, LISTEN_ADDRESS: "127.0.0.1:0", ADMIN_ADDRESS: "127.0.0.1:0" },
      { stdout: writer, stderr: writer },
    );
    stops.push(() => child.kill());
    expect((await child.ended).code).to.equal(70);
  });
});

/** The complete lines, each of which must be a JSON object. */
function linesOf(text: string): Record<string, unknown>[] {
  return text
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}
