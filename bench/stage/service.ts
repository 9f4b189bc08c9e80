import { execFile } from "node:child_process";
import { openSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { FolderGuard } from "../../test/support/folder-guard.ts";
import { freePort } from "../../test/support/free-port.ts";
import { GrpcClient } from "./grpc-client.ts";

const MAIN = fileURLToPath(new URL("../../dist/main.js", import.meta.url));
const BARE_SERVER = fileURLToPath(new URL("bare-server.ts", import.meta.url));

export interface GrpcProcess {
  readonly pid: number;
  readonly client: GrpcClient;
  close(): Promise<void>;
}

/** Brings the database's schema up to date with the built `token-blacklist` command. */
export async function migrate(databaseUrl: string): Promise<void> {
  await promisify(execFile)(process.execPath, [MAIN, "migrate", "up"], {
    env: { ...process.env, DATABASE_URL: databaseUrl },
  });
}

/** The built service with its defaults, except that it does not prune by itself. */
export async function startService(
  guard: FolderGuard,
  { databaseUrl, profileFolder }: { databaseUrl: string; profileFolder: string | undefined },
): Promise<GrpcProcess> {
  const port = await freePort();
  const environment = {
    DATABASE_URL: databaseUrl,
    LISTEN_ADDRESS: `127.0.0.1:${port}`,
    ADMIN_ADDRESS: `127.0.0.1:${await freePort()}`,
    PRUNE_INTERVAL: "0",
    SHUTDOWN_GRACE: "5s",
  };
  const profile = profileFolder === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${profileFolder}`];
  return launch(guard, { name: "service", args: [...profile, MAIN, "serve"], environment, port });
}

/** See `bare-server.ts`. */
export async function startBareServer(guard: FolderGuard): Promise<GrpcProcess> {
  const port = await freePort();
  const tsx = import.meta.resolve("tsx");
  return launch(guard, {
    name: "bare",
    args: ["--import", tsx, BARE_SERVER, `${port}`],
    environment: {},
    port,
  });
}

interface Launch {
  readonly name: string;
  readonly args: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly port: number;
}

async function launch(guard: FolderGuard, { name, args, environment, port }: Launch): Promise<GrpcProcess> {
  const log = join(guard.folder, `${name}.log`);
  const variables = Object.entries(environment).map(([key, value]) => `${key}=${value}`);
  const child = await guard.spawn("env", [...variables, process.execPath, ...args], openSync(log, "a"));
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const client = new GrpcClient(port);
  try {
    await Promise.race([
      client.ready(),
      exited.then(() => Promise.reject(new Error("it ended before it listened"))),
    ]);
  } catch (cause) {
    client.close();
    throw new Error(`the ${name} process did not start:\n${await readFile(log, "utf8")}`, { cause });
  }
  return {
    pid: child.pid as number,
    client,
    close: async () => {
      client.close();
      child.kill("SIGTERM");
      const force = setTimeout(() => child.kill("SIGKILL"), 10_000);
      await exited;
      clearTimeout(force);
    },
  };
}
