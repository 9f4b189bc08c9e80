import { spawn } from "node:child_process";
import { existsSync, realpathSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { delimiter, dirname, join } from "node:path";

const SYSTEM_TABLES = ["system_tables", "performance_tables", "system_tables_data"];

/** Where the server program is, or undefined where MariaDB is not installed. */
export function findMariadbd(): string | undefined {
  // Debian keeps it in /usr/sbin, which is not on the PATH of an ordinary user.
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/usr/local/sbin"];
  return folders.map((folder) => join(folder, "mariadbd")).find((path) => existsSync(path));
}

/** What every start of the server needs, whether it is the first or not. */
export function commonArgs(dataFolder: string): string[] {
  return [
    "--no-defaults",
    `--datadir=${dataFolder}`,
    ...(process.getuid?.() === 0 ? ["--user=root"] : []),
    "--innodb-data-file-path=ibdata1:4M:autoextend",
    "--innodb-autoextend-increment=1",
    "--innodb-log-file-size=32M",
    "--innodb-buffer-pool-dump-at-shutdown=0",
    "--innodb-buffer-pool-load-at-startup=0",
  ];
}

/**
 * Makes a data folder with a root account without a password, in a third of a second. It feeds the server's own
 * SQL to `--bootstrap` as mariadb-install-db does: that script wants my_print_defaults, which Debian ships in the
 * client's package.
 */
export async function createDataFolder(mariadbd: string, dataFolder: string): Promise<void> {
  await mkdir(dataFolder, { recursive: true });
  const tables = await Promise.all(SYSTEM_TABLES.map((name) => readFile(systemSql(mariadbd, name), "utf8")));
  const sql = ["CREATE DATABASE mysql;", "USE mysql;", "SET @auth_root_socket=NULL;", ...tables].join("\n");
  const server = spawn(
    mariadbd,
    [
      ...commonArgs(dataFolder),
      // In a shared one a server that starts removes the temporary tables of another.
      `--tmpdir=${dirname(dataFolder)}`,
      "--bootstrap",
      "--log-warnings=0",
      "--enforce-storage-engine=",
    ],
    { stdio: ["pipe", "ignore", "pipe"] },
  );
  let log = "";
  server.stderr.setEncoding("utf8").on("data", (text: string) => {
    log += text;
  });
  // A server that gives up early says why on stderr; the broken pipe adds nothing.
  server.stdin.on("error", () => {});
  server.stdin.end(`${sql}\n`);
  const code = await new Promise<number | null>((resolve, reject) => {
    server.once("error", reject);
    server.once("close", resolve);
  });
  if (code !== 0) throw new Error(`mariadbd --bootstrap ended with ${code}:\n${log}`);
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
