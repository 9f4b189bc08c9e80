import { TokenBlacklist } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { guardFolder } from "../../test/support/folder-guard.ts";
import { LIVE_TOKENS, liveJti } from "../tokens.ts";
import { BenchDatabase } from "./database.ts";
import { type RedisServer, redisVersion, startRedis } from "./redis.ts";
import { type GrpcProcess, migrate, startBareServer, startService } from "./service.ts";

/** Everything that is measured, started and filled. */
export interface Stage {
  readonly database: BenchDatabase;
  readonly service: GrpcProcess;
  readonly bare: GrpcProcess;
  /** Absent where Redis is not installed. */
  readonly redis:
    | { readonly version: string; readonly fast: RedisServer; readonly durable: RedisServer }
    | undefined;
}

/** Tokens in one call while the table is being filled. */
const BATCH = 1000;

/** Starts it all; every closer goes on `closers` at once, so that whatever was started can be ended at any time. */
export async function openStage(
  closers: (() => Promise<void>)[],
  { profileFolder }: { profileFolder: string | undefined },
): Promise<Stage> {
  function closing<T extends { close(): Promise<void> }>(started: T): T {
    closers.push(() => started.close());
    return started;
  }
  const guard = await guardFolder("token-blacklist-bench");
  closers.push(() => guard.remove());
  const database = closing(await BenchDatabase.start());
  await migrate(database.url);
  const service = closing(await startService(guard, { databaseUrl: database.url, profileFolder }));
  const bare = closing(await startBareServer(guard));
  const version = redisVersion();
  const redis =
    version === undefined
      ? undefined
      : {
          version,
          fast: closing(await startRedis(guard, { durable: false })),
          durable: closing(await startRedis(guard, { durable: true })),
        };
  await fill(service, redis?.fast);
  await database.copyTable();
  await database.settle();
  return { database, service, bare, redis };
}

/** Through the service's own front door, so that whatever it keeps besides its table is filled too. */
async function fill({ client }: GrpcProcess, redis: RedisServer | undefined): Promise<void> {
  const blacklist = client.method(TokenBlacklist.method.blacklist);
  const expiresAt = { seconds: BigInt(Math.floor(Date.now() / 1000) + 86_400), nanos: 0 };
  for (let from = 0; from < LIVE_TOKENS; from += BATCH) {
    const jtis = Array.from({ length: BATCH }, (_, index) => liveJti(from + index));
    await blacklist({
      tokens: jtis.map((jti) => ({
        token: { case: "jti" as const, value: jti },
        expiresAt,
        reason: "logout",
      })),
    });
    const pipeline = redis?.client.pipeline();
    for (const jti of jtis) pipeline?.set(jti, "1", "EX", 86_400);
    await pipeline?.exec();
  }
}
