import { inChild } from "../index/child.ts";
import type { Growth, GrowthInput } from "../index/growth.ts";
import { target } from "../result.ts";
import type { Ground } from "../stage/ground.ts";
import { fillRedis, redisVersion, startRedis } from "../stage/redis.ts";
import { NO_REDIS, type Scenario } from "./scenario.ts";

const ENTRIES = 10_000_000;
const REDIS_KEYS = 1_000_000;

/** The memory per entry while the table grows, and the effect of the growth on the event loop. */
export function growthScenario(): Scenario<Ground> {
  const name = `Index: growth to ${ENTRIES.toLocaleString("en")} entries`;
  return {
    name,
    async run(_options, ground) {
      const growth = await inChild<GrowthInput, Growth>("growth.ts", { entries: ENTRIES });
      const bytes = growth.samples.map(([, each]) => each);
      const mean = bytes.reduce((sum, each) => sum + each, 0) / bytes.length;
      const worst = Math.max(...bytes);
      const redis = await redisBytes(ground);
      const figures = {
        headings: ["mean", "worst", "at the end"],
        rows: [
          { name: "index: bytes an entry", values: [mean, worst, bytes.at(-1) as number] },
          ...(redis === undefined
            ? []
            : [{ name: `Redis: bytes a key, of ${REDIS_KEYS.toLocaleString("en")}`, values: [redis] }]),
          { name: "index: µs an addition", values: [(growth.seconds / ENTRIES) * 1e6] },
          { name: "event loop, ms a turn: p99, worst", values: [growth.delayP99Ms, growth.delayMaxMs] },
        ],
      };
      const targets = [
        target("Index: bytes an entry by RSS, mean over the growth", mean, { atMost: 50 }),
        target("Index: bytes an entry by RSS, at the worst moment", worst, { atMost: 64 }),
        target(`${name}, event loop's p99 in ms`, growth.delayP99Ms, { atMost: 20 }),
      ];
      return { name, unit: "by RSS", figures, targets, skipped: redis === undefined ? [NO_REDIS] : [] };
    },
  };
}

async function redisBytes({ guard, closing }: Ground): Promise<number | undefined> {
  if (redisVersion() === undefined) return undefined;
  const redis = closing(await startRedis(guard, { name: "redis-memory", durable: false }));
  const bytes = await fillRedis(redis, REDIS_KEYS);
  await redis.close();
  return bytes;
}
