import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Context } from "mocha";
import { freshFolder } from "./shared.ts";
import { until } from "./until.ts";

/** Where scripts/install-test-tools.sh unpacks it. */
const UNPACKED = fileURLToPath(new URL("../../node_modules/.cache/nginx/usr/sbin", import.meta.url));

export interface Nginx {
  stop(): Promise<void>;
}

/**
 * Runs NGINX in the foreground in a temporary folder, and resolves once it listens. `http` is the content of the http block. Skips the suite,
 * with a title that says why, if NGINX is not installed.
 */
export async function startNginx(
  context: Context,
  { http, port }: { http: string; port: number },
): Promise<Nginx> {
  const program = findNginx();
  if (program === undefined) {
    const skipped = context.currentTest ?? context.test;
    if (skipped !== undefined) skipped.title += " (needs nginx, which is not installed)";
    context.skip();
  }
  const folder = await freshFolder();
  await mkdir(join(folder, "temp"));
  const kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  const config = `
    daemon off;
    # One process, which ends with the test and needs no other user.
    master_process off;
    pid ${folder}/nginx.pid;
    error_log ${folder}/error.log info;
    events {}
    http {
      access_log off;
      ${kinds.map((kind) => `${kind}_temp_path ${folder}/temp/${kind};`).join("\n")}
      ${http}
    }`;
  const file = join(folder, "nginx.conf");
  await writeFile(file, config);
  const args = ["-p", folder, "-c", file, "-e", join(folder, "error.log")];
  const child: ChildProcess = spawn(program, args, { stdio: ["ignore", "ignore", "pipe"] });
  let complaint = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    complaint += text;
  });
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  let running = true;
  void ended.then(() => {
    running = false;
  });
  await until(
    async () => {
      if (!running) throw new Error(`nginx does not start: ${complaint}`);
      return fetch(`http://127.0.0.1:${port}/`).then(
        async (response) => {
          await response.text();
          return true;
        },
        () => false,
      );
    },
    { withinMs: 5000, what: "nginx listens" },
  );
  return {
    async stop() {
      child.kill("SIGTERM");
      await ended;
    },
  };
}

function findNginx(): string | undefined {
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/usr/local/sbin", UNPACKED];
  const program = folders.map((folder) => join(folder, "nginx")).find((path) => existsSync(path));
  if (program === undefined) return undefined;
  try {
    execFileSync(program, ["-v"], { stdio: "ignore" });
    return program;
  } catch {
    return undefined;
  }
}
