import { spawnSync } from "node:child_process";
import { openSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Redis } from "ioredis";
import type { FolderGuard } from "../../test/support/folder-guard.ts";
import { freePort } from "../../test/support/free-port.ts";
import { liveJti } from "../tokens.ts";

export interface RedisServer {
  readonly pid: number;
  readonly port: number;
  readonly client: Redis;
  close(): Promise<void>;
}

/**
 * The version of the Redis server on the PATH, or undefined. Debian's redis-tools holds the server under the name of
 * redis-check-rdb: one program, which asks what it was called.
 */
export function redisVersion(): string | undefined {
  for (const program of ["redis-server", "redis-check-rdb"]) {
    const { stdout, status } = spawnSync(program, ["--version"], { argv0: "redis-server", encoding: "utf8" });
    if (status === 0) return /v=(\S+)/.exec(stdout)?.[1] ?? "unknown";
  }
  return undefined;
}

/** Runs the server by the name under which it is installed. */
const START =
  'if command -v redis-server; then exec redis-server "$@"; fi; exec -a redis-server redis-check-rdb "$@"';

/** Starts a private Redis. With `durable` it flushes every write to disk before answering, as the service does; without it, never. */
export async function startRedis(
  guard: FolderGuard,
  { name, durable }: { name: string; durable: boolean },
): Promise<RedisServer> {
  const folder = join(guard.folder, name);
  await mkdir(folder);
  const port = await freePort();
  const durability = durable ? ["--appendonly", "yes", "--appendfsync", "always"] : ["--appendonly", "no"];
  const child = await guard.spawn(
    "bash",
    [
      "-c",
      START,
      "redis",
      "--port",
      `${port}`,
      "--bind",
      "127.0.0.1",
      "--dir",
      folder,
      "--save",
      "",
      ...durability,
    ],
    openSync(join(folder, "log"), "a"),
  );
  const client = new Redis({ port, host: "127.0.0.1", retryStrategy: () => 20 });
  // Until it listens, every attempt to connect is an error.
  client.on("error", () => {});
  await Promise.race([
    client.ping(),
    delay(10_000, undefined, { ref: false }).then(() => Promise.reject(new Error("Redis did not start"))),
  ]);
  return {
    pid: child.pid as number,
    port,
    client,
    close: async () => {
      client.disconnect();
      child.kill("SIGKILL");
    },
  };
}

const FILL_BATCH = 10_000;

/** Sets a key for each of the first `count` live tokens. Returns the server's memory growth in bytes per key. */
export async function fillRedis({ client }: RedisServer, count: number): Promise<number> {
  const before = await residentBytes(client);
  for (let from = 0; from < count; from += FILL_BATCH) {
    const pipeline = client.pipeline();
    for (let index = from; index < Math.min(from + FILL_BATCH, count); index++) {
      pipeline.set(liveJti(index), "1", "EX", 86_400);
    }
    await pipeline.exec();
  }
  return ((await residentBytes(client)) - before) / count;
}

async function residentBytes(client: Redis): Promise<number> {
  // The server updates its figures ten times a second.
  await delay(300);
  return Number(/used_memory_rss:(\d+)/.exec(await client.info("memory"))?.[1]);
}
