import { mkdtemp } from "node:fs/promises";
import { join } from "node:path";
import { type FolderGuard, guardFolder } from "./folder-guard.ts";
import { type MysqlServer, openMysql } from "./mariadb.ts";

// Shared by all specs and created on first use. Each spec gets its own folder or database in it.
let folder: Promise<FolderGuard> | undefined;
let mysql: Promise<MysqlServer> | undefined;

/** A new empty folder, removed at the end of the run at the latest. */
export async function freshFolder(): Promise<string> {
  folder ??= guardFolder("token-blacklist-test");
  return mkdtemp(join((await folder).folder, "spec-"));
}

/** The MySQL server of the run. Specs that kill or reconfigure a server start their own: see mariadb.ts. */
export function sharedMysql(): Promise<MysqlServer> {
  mysql ??= openMysql();
  return mysql;
}

/** An empty MySQL database on the shared server. */
export async function freshDatabase(): Promise<{ url: string; dispose(): Promise<void> }> {
  const database = await (await sharedMysql()).createDatabase();
  return { url: database.url, dispose: database.drop };
}

export async function stopShared(): Promise<void> {
  const started = await Promise.allSettled([mysql, folder]);
  mysql = undefined;
  folder = undefined;
  const [server, guard] = started;
  if (server.status === "fulfilled") await server.value?.stop();
  if (guard.status === "fulfilled") await guard.value?.remove();
}
