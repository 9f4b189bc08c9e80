import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { type Connection, createConnection } from "mysql2/promise";

/** A database made for one test. */
export interface TestDatabase {
  readonly name: string;
  readonly url: string;
  drop(): Promise<void>;
}

/** Creates an empty database with a random name on the server at `serverUrl`. */
export async function createDatabase(serverUrl: string): Promise<TestDatabase> {
  const name = `test_${randomBytes(8).toString("hex")}`;
  await run(serverUrl, `CREATE DATABASE ${name}`);
  return {
    name,
    url: databaseUrl(serverUrl, name),
    drop: () => run(serverUrl, `DROP DATABASE IF EXISTS ${name}`),
  };
}

export function databaseUrl(serverUrl: string, name: string): string {
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  return url.href;
}

/** Resolves once the server answers a query; gives up as soon as `stillStarting` returns false. */
export async function waitUntilAnswering(serverUrl: string, stillStarting: () => boolean): Promise<void> {
  for (;;) {
    try {
      return await run(serverUrl, "SELECT 1");
    } catch (error) {
      if (!stillStarting()) throw new Error("the database server did not come up", { cause: error });
      await delay(10);
    }
  }
}

async function run(serverUrl: string, sql: string): Promise<void> {
  const connection: Connection = await createConnection({ uri: serverUrl, connectTimeout: 5_000 });
  try {
    await connection.query(sql);
  } finally {
    // Not end(), whose farewell would wait for a server that a test has paused or killed.
    connection.destroy();
  }
}
