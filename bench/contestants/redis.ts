import type { Contestant } from "../contestant.ts";
import type { RedisServer } from "../stage/redis.ts";
import { freshJti, probes } from "../tokens.ts";

export function redisCheck(size: number, { client, pid }: RedisServer): Contestant {
  const next = probes(size);
  if (size === 1) {
    return {
      name: "Redis EXISTS",
      pids: [pid],
      call: async () => {
        await client.exists(next()[0] as string);
      },
    };
  }
  return {
    name: "Redis MGET",
    pids: [pid],
    call: async () => {
      await client.mget(next() as string[]);
    },
  };
}

export function redisRevoke(name: string, { client, pid }: RedisServer): Contestant {
  return {
    name,
    pids: [pid],
    call: async () => {
      await client.set(freshJti(), "1", "EX", 86_400);
    },
  };
}
