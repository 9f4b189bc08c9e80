import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Context } from "mocha";
import { freshFolder } from "./shared.ts";
import { until } from "./until.ts";

/** Where scripts/install-test-tools.sh unpacks it. */
const UNPACKED = fileURLToPath(new URL("../../node_modules/.cache/caddy/usr/bin", import.meta.url));

export interface Caddy {
  stop(): Promise<void>;
}

/**
 * Runs Caddy in the foreground in a temporary folder, and resolves once it listens on `port`. `sites` is a Caddyfile without global options.
 * Skips the suite, with a title that says why, if Caddy is not installed.
 */
export async function startCaddy(
  context: Context,
  { sites, port }: { sites: string; port: number },
): Promise<Caddy> {
  const program = findCaddy();
  if (program === undefined) {
    const skipped = context.currentTest ?? context.test;
    if (skipped !== undefined) skipped.title += " (needs caddy, which is not installed)";
    context.skip();
  }
  const folder = await freshFolder();
  const file = join(folder, "Caddyfile");
  // Requests no certificates, and opens no administration port.
  await writeFile(file, `{\n  admin off\n  auto_https off\n}\n${sites}`);
  const child: ChildProcess = spawn(program, ["run", "--config", file, "--adapter", "caddyfile"], {
    stdio: ["ignore", "ignore", "pipe"],
    env: { HOME: folder, XDG_CONFIG_HOME: folder, XDG_DATA_HOME: folder },
  });
  let complaint = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    complaint = (complaint + text).slice(-2000);
  });
  let running = true;
  const ended = new Promise<void>((resolve) =>
    child.once("close", () => {
      running = false;
      resolve();
    }),
  );
  await until(
    async () => {
      if (!running) throw new Error(`caddy does not start: ${complaint}`);
      return fetch(`http://127.0.0.1:${port}/`).then(
        async (response) => {
          await response.text();
          return true;
        },
        () => false,
      );
    },
    { withinMs: 10_000, what: "caddy listens" },
  );
  return {
    async stop() {
      child.kill("SIGTERM");
      await ended;
    },
  };
}

function findCaddy(): string | undefined {
  const folders = [...(process.env.PATH ?? "").split(delimiter), UNPACKED];
  const program = folders.map((folder) => join(folder, "caddy")).find((path) => existsSync(path));
  if (program === undefined) return undefined;
  try {
    execFileSync(program, ["version"], { stdio: "ignore" });
    return program;
  } catch {
    return undefined;
  }
}
