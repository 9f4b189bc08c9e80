import { spawnSync } from "node:child_process";
import { openSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Redis } from "ioredis";
import type { FolderGuard } from "../../test/support/folder-guard.ts";
import { freePort } from "../../test/support/free-port.ts";

export interface RedisServer {
  readonly pid: number;
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

/** Runs the server by whichever name it is installed. */
const START =
  'if command -v redis-server; then exec redis-server "$@"; fi; exec -a redis-server redis-check-rdb "$@"';

/** A private Redis. With `durable` it flushes every write to disk before answering, as the service does; without it, never. */
export async function startRedis(
  guard: FolderGuard,
  { durable }: { durable: boolean },
): Promise<RedisServer> {
  const folder = join(guard.folder, durable ? "redis-durable" : "redis");
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
    client,
    close: async () => {
      client.disconnect();
      child.kill("SIGKILL");
    },
  };
}
