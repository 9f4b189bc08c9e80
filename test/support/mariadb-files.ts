import { execFileSync, spawn } from "node:child_process";
import { existsSync, realpathSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { delimiter, dirname, join } from "node:path";

const SYSTEM_TABLES = ["system_tables", "performance_tables", "system_tables_data"];

/** A server's program, and its kind: MariaDB and MySQL differ in options, variables and errors. */
export interface ServerProgram {
  readonly path: string;
  readonly kind: "mariadb" | "mysql";
}

/** The program of TEST_MYSQLD, or MariaDB's; undefined if not installed. */
export function findServer(): ServerProgram | undefined {
  const named = process.env.TEST_MYSQLD;
  if (named) return { path: named, kind: kindOf(named) };
  // Debian installs it in /usr/sbin, which is not on an ordinary user's PATH.
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/usr/local/sbin"];
  const path = folders.map((folder) => join(folder, "mariadbd")).find((path) => existsSync(path));
  return path === undefined ? undefined : { path, kind: "mariadb" };
}

function kindOf(path: string): ServerProgram["kind"] {
  return execFileSync(path, ["--version"], { encoding: "utf8" }).includes("MariaDB") ? "mariadb" : "mysql";
}

/** Options of every start of the server. */
export function commonArgs(kind: ServerProgram["kind"], dataFolder: string): string[] {
  return [
    "--no-defaults",
    `--datadir=${dataFolder}`,
    ...(process.getuid?.() === 0 ? ["--user=root"] : []),
    "--innodb-buffer-pool-dump-at-shutdown=0",
    "--innodb-buffer-pool-load-at-startup=0",
    ...OWN_ARGS[kind],
  ];
}

const OWN_ARGS = {
  mariadb: [
    "--innodb-data-file-path=ibdata1:4M:autoextend",
    "--innodb-autoextend-increment=1",
    "--innodb-log-file-size=32M",
    "--aria-pagecache-buffer-size=1M",
  ],
  mysql: ["--innodb-redo-log-capacity=64M", "--mysqlx=OFF", "--secure-file-priv="],
} as const;

/**
 * Makes a data folder with a root account without a password, in a third of a second; MySQL takes four. It feeds MariaDB's own
 * SQL to `--bootstrap` as mariadb-install-db does: that script wants my_print_defaults, which Debian ships in the
 * client's package.
 */
export async function createDataFolder({ path, kind }: ServerProgram, dataFolder: string): Promise<void> {
  await mkdir(dataFolder, { recursive: true });
  if (kind === "mariadb") {
    const tables = await Promise.all(SYSTEM_TABLES.map((name) => readFile(systemSql(path, name), "utf8")));
    const sql = ["CREATE DATABASE mysql;", "USE mysql;", "SET @auth_root_socket=NULL;", ...tables].join("\n");
    await runOnce(path, dataFolder, {
      args: [...commonArgs(kind, dataFolder), "--bootstrap", "--log-warnings=0", "--enforce-storage-engine="],
      sql,
    });
  } else {
    const init = join(dirname(dataFolder), "init.sql");
    await writeFile(init, MYSQL_ROOT);
    await runOnce(path, dataFolder, {
      args: [...commonArgs(kind, dataFolder), "--initialize-insecure", `--init-file=${init}`],
    });
  }
}

/** MySQL's root may only connect from localhost, a name that a server without name look-ups does not know. */
const MYSQL_ROOT = "CREATE USER root@'127.0.0.1'; GRANT ALL ON *.* TO root@'127.0.0.1' WITH GRANT OPTION;\n";

async function runOnce(
  path: string,
  dataFolder: string,
  { args, sql = "" }: { args: readonly string[]; sql?: string },
): Promise<void> {
  // In a shared folder, a starting server removes the temporary tables of another.
  const server = spawn(path, [...args, `--tmpdir=${dirname(dataFolder)}`], {
    stdio: ["pipe", "ignore", "pipe"],
  });
  let log = "";
  server.stderr.setEncoding("utf8").on("data", (text: string) => {
    log += text;
  });
  // A server that fails early explains why on standard error; a broken pipe adds nothing.
  server.stdin.on("error", () => {});
  server.stdin.end(`${sql}\n`);
  const code = await new Promise<number | null>((resolve, reject) => {
    server.once("error", reject);
    server.once("close", resolve);
  });
  if (code !== 0) throw new Error(`${path} could not make its data folder and ended with ${code}:\n${log}`);
}

function systemSql(mariadbd: string, name: string): string {
  const share = join(dirname(realpathSync(mariadbd)), "../share");
  // MariaDB 11 renamed the files from mysql_* to mariadb_*, and packagers differ about the folder.
  const candidates = ["mysql", "mariadb"].flatMap((folder) => [
    join(share, folder, `mariadb_${name}.sql`),
    join(share, folder, `mysql_${name}.sql`),
  ]);
  const found = candidates.find((path) => existsSync(path));
  if (found === undefined) throw new Error(`none of these exists: ${candidates.join(", ")}`);
  return found;
}
