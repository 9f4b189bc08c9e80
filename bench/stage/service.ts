import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { FolderGuard } from "../../test/support/folder-guard.ts";
import { freePort } from "../../test/support/free-port.ts";
import type { Access } from "./grpc-client.ts";
import { type GrpcProcess, launch } from "./launch.ts";
import { type LogLine, lineInLog } from "./log-line.ts";

const MAIN = fileURLToPath(new URL("../../dist/main.js", import.meta.url));
const BARE_SERVER = fileURLToPath(new URL("bare-server.ts", import.meta.url));

export interface ServiceProcess extends GrpcProcess {
  /** Resolves to the service's log line once all entries are in memory. */
  indexLoaded(): Promise<IndexLoaded>;
}

/** A million entries take seconds, ten million some times as long. */
const LOADED_WITHIN_MS = 120_000;

export interface IndexLoaded extends LogLine {
  readonly entries: number;
  readonly duration_ms: number;
}

/** Migrates the database's schema with the built `token-blacklist` command. */
export async function migrate(databaseUrl: string): Promise<void> {
  await promisify(execFile)(process.execPath, [MAIN, "migrate", "up"], {
    env: { ...process.env, DATABASE_URL: databaseUrl },
  });
}

/** The built service with its defaults, except that scheduled pruning is off. */
export async function startService(
  guard: FolderGuard,
  {
    name,
    main = MAIN,
    databaseUrl,
    profileFolder,
    environment = {},
    access,
  }: {
    name: string;
    /** `dist/main.js` of the build; default: this build. */
    main?: string;
    databaseUrl: string;
    profileFolder?: string | undefined;
    environment?: Readonly<Record<string, string>>;
    access?: Access | undefined;
  },
): Promise<ServiceProcess> {
  const port = await freePort();
  const profile = profileFolder === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${profileFolder}`];
  const started = await launch(guard, {
    name,
    port,
    access,
    args: [...profile, main, "serve"],
    environment: {
      DATABASE_URL: databaseUrl,
      LISTEN_ADDRESS: `127.0.0.1:${port}`,
      ADMIN_ADDRESS: `127.0.0.1:${await freePort()}`,
      PRUNE_INTERVAL: "0",
      SHUTDOWN_GRACE: "5s",
      ...environment,
    },
  });
  return {
    ...started,
    indexLoaded: () => lineInLog<IndexLoaded>(started.log, "index loaded", LOADED_WITHIN_MS),
  };
}

/** See `bare-server.ts`. */
export async function startBareServer(
  guard: FolderGuard,
  { name, tokens, databaseUrl }: { name: string; tokens: number; databaseUrl: string },
): Promise<GrpcProcess> {
  const port = await freePort();
  const tsx = import.meta.resolve("tsx");
  return launch(guard, {
    name,
    port,
    args: ["--import", tsx, BARE_SERVER, `${port}`, `${tokens}`, databaseUrl],
    environment: {},
  });
}
