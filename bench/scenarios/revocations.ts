import { overGrpc, revoke } from "../contestants/grpc.ts";
import { plainInsert } from "../contestants/mysql.ts";
import { redisRevoke } from "../contestants/redis.ts";
import { openStoreContestant } from "../contestants/store.ts";
import { target } from "../result.ts";
import { compare, NO_REDIS, type Scenario } from "./scenario.ts";

/** `callers` concurrent callers, each revoking one token per call. */
function revokeScenario(callers: number): Scenario {
  const name = `Blacklist, ${callers} caller${callers === 1 ? "" : "s"}`;
  return {
    name,
    async run({ rounds, seconds }, stage) {
      const { redis, database } = stage;
      await database.copyTable();
      const contestants = [
        ...overGrpc(stage, revoke(1)),
        ...(redis === undefined
          ? []
          : [
              redisRevoke("Redis SET, no flush", redis.fast),
              redisRevoke("Redis SET, flushed", redis.durable),
            ]),
        plainInsert(callers, database),
      ];
      const rows = await compare(contestants, { callers, rounds, seconds });
      const toBare = rows[1]?.ratio ?? Number.NaN;
      return {
        name,
        unit: "calls",
        rows,
        targets: callers === 128 ? [target(`${name}, to the bare method`, toBare, { atLeast: 0.5 })] : [],
        skipped: redis === undefined ? [NO_REDIS] : [],
      };
    },
  };
}

/** The gain of group commit, without gRPC. */
function storeScenario(callers: number): Scenario {
  const name = `Store alone, ${callers} callers`;
  return {
    name,
    async run({ rounds, seconds }, { database }) {
      await database.copyTable();
      const store = await openStoreContestant(database);
      const ungrouped = await openStoreContestant(database, { grouped: false });
      try {
        const contestants = [store, ungrouped, plainInsert(callers, database)];
        const rows = await compare(contestants, { callers, rounds, seconds });
        const [, toUngrouped, toInsert] = rows.map(({ ratio }) => ratio ?? Number.NaN);
        const targets = [
          target(`${name}, to one commit per revocation`, toUngrouped as number, { atLeast: 5 }),
          target(`${name}, to plain INSERTs without order or outcomes`, toInsert as number, { atLeast: 5 }),
        ];
        return { name, unit: "calls", rows, targets, skipped: [] };
      } finally {
        await ungrouped.close();
        await store.close();
      }
    },
  };
}

export function revocationScenarios(): Scenario[] {
  return [revokeScenario(1), revokeScenario(16), revokeScenario(128), storeScenario(128)];
}
