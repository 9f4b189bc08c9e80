import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect } from "chai";
import type { Context } from "mocha";
import { readConfig } from "../../src/config/config.ts";

const FOLDER = fileURLToPath(new URL("../../deploy/systemd", import.meta.url));
const UNITS = ["token-blacklist.service", "token-blacklist-migrate.service"] as const;
/** Of 100, where 0 is the least exposed; the rest is mostly the network, which the service needs. */
const MAX_EXPOSURE = 13;

interface Analysis {
  readonly code: number;
  readonly text: string;
}

async function analyze(context: Context, args: readonly string[]): Promise<Analysis> {
  const run = promisify(execFile)("systemd-analyze", [...args]);
  const { code, stdout, stderr } = await run.then(
    (result) => ({ code: 0, ...result }),
    (error: { code: number | string; stdout: string; stderr: string }) => error,
  );
  if (code === "ENOENT") {
    const skipped = context.test;
    if (skipped !== undefined) skipped.title += " (needs systemd-analyze, which is not installed)";
    context.skip();
  }
  return { code: Number(code), text: stdout + stderr };
}

/** The values of a setting that may occur several times. */
function all(unit: string, name: string): string[] {
  return [...unit.matchAll(new RegExp(`^${name}=(.*)$`, "gm"))].map(([, value]) => value as string);
}

describe("the systemd units", () => {
  for (const name of UNITS) {
    it(`are valid: ${name}`, async function () {
      const path = join(FOLDER, name);
      expect(await analyze(this as unknown as Context, ["verify", path])).to.deep.equal({
        code: 0,
        text: "",
      });
    });

    it(`restrict the process: ${name}`, async function () {
      const args = ["security", "--offline=true", `--threshold=${MAX_EXPOSURE}`, "--no-pager"];
      const { code, text } = await analyze(this as unknown as Context, [...args, join(FOLDER, name)]);
      expect(code, text).to.equal(0);
    });

    it(`refer only to credentials that they load: ${name}`, async () => {
      const unit = await readFile(join(FOLDER, name), "utf8");
      const loaded = all(unit, "LoadCredential").map((value) => value.split(":")[0]);
      const used = all(unit, "Environment").map((value) => /=%d\/(.+)$/.exec(value)?.[1]);
      expect(used).to.deep.equal(loaded);
    });
  }

  it("configure the service, and give it more time to stop than it takes", async () => {
    const unit = await readFile(join(FOLDER, UNITS[0]), "utf8");
    const variables = all(unit, "Environment").map((value) => value.split("=")[0] as string);
    expect(variables).to.deep.equal(["DATABASE_URL_FILE", "TLS_CERT_FILE", "TLS_KEY_FILE"]);
    const [timeout = ""] = all(unit, "TimeoutStopSec");
    expect(Number.parseInt(timeout, 10) * 1000).to.be.above(readConfig({}).shutdownGraceMs);
  });
});
