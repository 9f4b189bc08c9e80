import type { Options } from "../options.ts";
import { LIVE_TOKENS } from "../tokens.ts";
import { BenchDatabase } from "./database.ts";
import { fillTable } from "./fill.ts";
import type { Ground } from "./ground.ts";
import type { GrpcProcess } from "./launch.ts";
import { fillRedis, type RedisServer, redisVersion, startRedis } from "./redis.ts";
import { migrate, type ServiceProcess, startBareServer, startService } from "./service.ts";

/** Everything that is measured, started and filled. */
export interface Stage {
  readonly ground: Ground;
  readonly database: BenchDatabase;
  /** The service, with its index loaded. */
  readonly service: ServiceProcess;
  /** Looks nothing up. */
  readonly bare: GrpcProcess;
  /** Looks jtis up in a Set of all live jtis. */
  readonly bareSet: GrpcProcess;
  /** Absent if Redis is not installed. */
  readonly redis:
    | { readonly version: string; readonly fast: RedisServer; readonly durable: RedisServer }
    | undefined;
}

export async function openStage(ground: Ground, { profileFolder }: Options): Promise<Stage> {
  const { guard, closing } = ground;
  const database = closing(await BenchDatabase.start());
  await migrate(database.url);
  await fillTable(database.url, { to: LIVE_TOKENS });
  await database.settle();
  const bare = closing(await startBareServer(guard, { name: "bare", tokens: 0, databaseUrl: database.url }));
  const bareSet = closing(
    await startBareServer(guard, { name: "bare-set", tokens: LIVE_TOKENS, databaseUrl: database.url }),
  );
  const service = closing(
    await startService(guard, { name: "service", databaseUrl: database.url, profileFolder }),
  );
  await service.indexLoaded();
  const version = redisVersion();
  const redis =
    version === undefined
      ? undefined
      : {
          version,
          fast: closing(await startRedis(guard, { name: "redis", durable: false })),
          durable: closing(await startRedis(guard, { name: "redis-durable", durable: true })),
        };
  if (redis !== undefined) await fillRedis(redis.fast, LIVE_TOKENS);
  return { ground, database, service, bare, bareSet, redis };
}
