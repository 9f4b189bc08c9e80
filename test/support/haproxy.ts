import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Context } from "mocha";
import { freshFolder } from "./shared.ts";
import { until } from "./until.ts";

/** Where scripts/install-test-tools.sh unpacks HAProxy and its libraries. */
const UNPACKED = fileURLToPath(new URL("../../node_modules/.cache/haproxy", import.meta.url));

export interface Haproxy {
  stop(): Promise<void>;
}

/**
 * Runs HAProxy in the foreground with this configuration, and resolves once it listens on `port`. Relative paths of the configuration start in
 * `folder`. Skips the suite, with a title that says why, if HAProxy is not installed.
 */
export async function startHaproxy(
  context: Context,
  { config, folder, port }: { config: string; folder: string; port: number },
): Promise<Haproxy> {
  const found = findHaproxy();
  if (found === undefined) {
    const skipped = context.currentTest ?? context.test;
    if (skipped !== undefined) skipped.title += " (needs haproxy, which is not installed)";
    context.skip();
  }
  const file = join(await freshFolder(), "haproxy.cfg");
  await writeFile(file, config);
  const child: ChildProcess = spawn(found.program, ["-db", "-f", file], {
    cwd: folder,
    env: found.env,
    stdio: ["ignore", "ignore", "pipe"],
  });
  let complaint = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    complaint += text;
  });
  let running = true;
  const ended = new Promise<void>((resolve) => {
    child.once("close", () => {
      running = false;
      resolve();
    });
  });
  await until(
    async () => {
      if (!running) throw new Error(`haproxy does not start: ${complaint}`);
      return listens(port);
    },
    { withinMs: 5000, what: "haproxy listens" },
  );
  return {
    async stop() {
      // A graceful stop would wait for clients.
      child.kill("SIGTERM");
      await ended;
    },
  };
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

function findHaproxy(): { program: string; env: NodeJS.ProcessEnv } | undefined {
  const libraries = join(UNPACKED, "usr/lib");
  const folders = existsSync(libraries)
    ? [libraries, ...readdirSync(libraries).map((name) => join(libraries, name))]
    : [];
  const unpacked = { ...process.env, LD_LIBRARY_PATH: folders.join(delimiter) };
  const installed = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/usr/local/sbin"];
  const candidates = [
    ...installed.map((folder) => ({ program: join(folder, "haproxy"), env: process.env })),
    { program: join(UNPACKED, "usr/sbin/haproxy"), env: unpacked },
  ];
  return candidates.find(({ program, env }) => {
    if (!existsSync(program)) return false;
    try {
      execFileSync(program, ["-v"], { stdio: "ignore", env });
      return true;
    } catch {
      return false;
    }
  });
}
