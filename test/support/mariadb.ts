import type { ChildProcess } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { guardFolder } from "./folder-guard.ts";
import { freePort } from "./free-port.ts";
import { commonArgs, createDataFolder, findServer, type ServerProgram } from "./mariadb-files.ts";
import { createDatabase, databaseUrl, type TestDatabase, waitUntilAnswering } from "./mysql-database.ts";

const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 20_000;

export interface MysqlServer {
  /** Only a private server can be killed, paused and restarted: see PrivateMariadb. */
  readonly canBeKilled: boolean;
  /** The server's URL, or that of one of its databases. */
  url(databaseName?: string): string;
  createDatabase(): Promise<TestDatabase>;
  stop(): Promise<void>;
}

export interface PrivateMariadb extends MysqlServer {
  readonly canBeKilled: true;
  readonly kind: ServerProgram["kind"];
  /** Constant across restarts. */
  readonly port: number;
  /** The process id of the running server, or of the last one. */
  readonly pid: number;
  /** Kills the server, paused or not, and resolves when its process has ended. */
  kill(signal?: "SIGKILL" | "SIGTERM"): Promise<void>;
  /** Stops the server if it runs, starts it on the same port and data, and waits until it responds. */
  restart(): Promise<void>;
  /** SIGSTOP: connections stay open without responses. */
  pause(): void;
  resume(): void;
  /** What the server has written to its log. */
  log(): Promise<string>;
}

export interface MariadbOptions {
  /** With a synchronous binary log, readers never see a commit that a crash undoes. Off by default, as in MariaDB and unlike MySQL. */
  binaryLog?: boolean;
  extraArgs?: readonly string[];
  /** Called with the new data folder before the first start. */
  prepare?: (dataFolder: string) => Promise<void>;
}

/** The server of TEST_MYSQL_URL, or else a private one. */
export async function openMysql(): Promise<MysqlServer> {
  const url = process.env.TEST_MYSQL_URL;
  if (url === undefined || url === "") return startMariadb();
  return {
    canBeKilled: false,
    url: (name) => (name === undefined ? url : databaseUrl(url, name)),
    createDatabase: () => createDatabase(url),
    stop: async () => {},
  };
}

/**
 * Starts MariaDB, or the server of TEST_MYSQLD, in a temporary folder, flushing every commit to disk. Neither the process nor the
 * folder outlives this process. Throws if none is installed; see `canStartMariadb`.
 */
export async function startMariadb(options: MariadbOptions = {}): Promise<PrivateMariadb> {
  const program = findServer();
  if (program === undefined) throw new Error("mariadbd was not found: install mariadb-server-core");
  const guard = await guardFolder("token-blacklist-mariadb");
  try {
    const dataFolder = join(guard.folder, "data");
    await createDataFolder(program, dataFolder);
    await options.prepare?.(dataFolder);
    const port = await freePort();
    const serverUrl = `mysql://root@127.0.0.1:${port}`;
    const logPath = join(guard.folder, "log");
    const args = serverArgs(program.kind, { folder: guard.folder, dataFolder, port }, options);

    const launch = async (): Promise<ChildProcess> => {
      const logFile = openSync(logPath, "a");
      const child = await guard.spawn(program.path, args, logFile);
      closeSync(logFile);
      const giveUpAt = Date.now() + START_TIMEOUT_MS;
      await waitUntilAnswering(serverUrl, () => isRunning(child) && Date.now() < giveUpAt).catch(
        async (cause) => {
          throw new Error(`${program.path} did not start:\n${await readFile(logPath, "utf8")}`, { cause });
        },
      );
      return child;
    };

    let server = await launch();
    return {
      canBeKilled: true,
      kind: program.kind,
      port,
      get pid() {
        return server.pid as number;
      },
      url: (name) => (name === undefined ? serverUrl : databaseUrl(serverUrl, name)),
      createDatabase: () => createDatabase(serverUrl),
      kill: (signal = "SIGKILL") => end(server, signal),
      restart: async () => {
        await end(server, "SIGTERM");
        server = await launch();
      },
      pause: () => void server.kill("SIGSTOP"),
      resume: () => void server.kill("SIGCONT"),
      log: () => readFile(logPath, "utf8"),
      stop: async () => {
        await end(server, "SIGTERM");
        await guard.remove();
      },
    };
  } catch (error) {
    await guard.remove();
    throw error;
  }
}

export function canStartMariadb(): boolean {
  return findServer() !== undefined;
}

function serverArgs(
  kind: ServerProgram["kind"],
  { folder, dataFolder, port }: { folder: string; dataFolder: string; port: number },
  { binaryLog = false, extraArgs = [] }: MariadbOptions,
): string[] {
  return [
    ...commonArgs(kind, dataFolder),
    `--socket=${join(folder, "socket")}`,
    `--pid-file=${join(folder, "pid")}`,
    `--tmpdir=${folder}`,
    `--port=${port}`,
    "--bind-address=127.0.0.1",
    "--skip-networking=0",
    // Without name look-ups, which would time out for each connection on a machine without DNS.
    "--skip-name-resolve",
    "--max-connections=500",
    "--innodb-buffer-pool-size=64M",
    "--innodb-flush-log-at-trx-commit=1",
    "--key-buffer-size=1M",
    ...(binaryLog ? ["--log-bin=binlog", "--sync-binlog=1", "--server-id=1"] : ["--skip-log-bin"]),
    ...extraArgs,
  ];
}

function isRunning(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null;
}

async function end(child: ChildProcess, signal: "SIGKILL" | "SIGTERM"): Promise<void> {
  if (!isRunning(child)) return;
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  child.kill(signal);
  // A paused process receives SIGTERM only once it continues.
  child.kill("SIGCONT");
  const tooLong = new AbortController();
  const force = delay(STOP_TIMEOUT_MS, undefined, { signal: tooLong.signal }).then(
    () => void child.kill("SIGKILL"),
    () => {},
  );
  await ended;
  tooLong.abort();
  await force;
}
