import { check, overGrpc } from "../contestants/grpc.ts";
import { plainSelect } from "../contestants/mysql.ts";
import { redisCheck } from "../contestants/redis.ts";
import { compare, NO_REDIS, type Scenario } from "./scenario.ts";

/** `callers` concurrent callers, each checking `size` tokens, one in a hundred of them blacklisted. */
function checkScenario({ size, callers }: { size: number; callers: number }): Scenario {
  const name = `IsBlacklisted, ${size} jti${size === 1 ? "" : "s"} a call, ${callers} callers`;
  return {
    name,
    async run({ rounds, seconds }, stage) {
      const contestants = [
        ...overGrpc(stage, check(size)),
        ...(stage.redis === undefined ? [] : [redisCheck(size, stage.redis.fast)]),
        plainSelect(size, stage.database),
      ];
      const rows = await compare(contestants, { callers, rounds, seconds });
      return { name, unit: "calls", rows, targets: [], skipped: stage.redis === undefined ? [NO_REDIS] : [] };
    },
  };
}

export function checkScenarios(): Scenario[] {
  return [
    checkScenario({ size: 1, callers: 64 }),
    checkScenario({ size: 20, callers: 64 }),
    checkScenario({ size: 100, callers: 16 }),
    checkScenario({ size: 1000, callers: 16 }),
  ];
}
