import { TokenBlacklist, Verdict } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { target } from "../result.ts";
import { startService } from "../stage/service.ts";
import { percentile, quantiles } from "../statistics.ts";
import { freshJti } from "../tokens.ts";
import type { Scenario } from "./scenario.ts";

const TIMES = 10_000;

/** A token is blacklisted at one replica, and checked at another as soon as the first has acknowledged it. */
export function propagationScenario(): Scenario {
  const name = `Two replicas, ${TIMES.toLocaleString("en")} times: blacklist at A, ask at B`;
  return {
    name,
    async run(_options, { ground, database, service }) {
      const second = await startService(ground.guard, { name: "replica", databaseUrl: database.url });
      const replica = ground.closing(second);
      await replica.indexLoaded();
      const blacklist = service.client.method(TokenBlacklist.method.blacklist);
      const isBlacklisted = replica.client.method(TokenBlacklist.method.isBlacklisted);
      const expiresAt = { seconds: BigInt(Math.floor(Date.now() / 1000) + 86_400), nanos: 0 };
      const writes: number[] = [];
      const answers: number[] = [];
      let stale = 0;
      for (let time = 0; time < TIMES; time++) {
        const jti = freshJti();
        const began = performance.now();
        await blacklist({ tokens: [{ token: { case: "jti", value: jti }, expiresAt, reason: "logout" }] });
        const acknowledged = performance.now();
        const { verdicts } = await isBlacklisted({ jtis: [jti] });
        answers.push(performance.now() - acknowledged);
        writes.push(acknowledged - began);
        if (verdicts[0] !== Verdict.BLACKLISTED) stale++;
      }
      await replica.close();
      const median = percentile(answers, 0.5);
      return {
        name,
        unit: "ms",
        figures: {
          headings: ["p50", "p99", "worst"],
          rows: [
            { name: "acknowledgement by A", values: quantiles(writes) },
            { name: "from there to the answer by B", values: quantiles(answers) },
          ],
        },
        targets: [
          target("Two replicas, stale answers", stale, { atMost: 0 }),
          target("Two replicas, median of B's answers in ms", median, { atMost: 2 }),
        ],
        skipped: [],
      };
    },
  };
}
