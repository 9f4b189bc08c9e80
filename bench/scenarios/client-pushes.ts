import { startGateway } from "../gateway/gateway.ts";
import type { Pushes, PushesInput } from "../gateway/pushes.ts";
import { target } from "../result.ts";
import { startService } from "../stage/service.ts";
import { percentile, quantiles } from "../statistics.ts";
import type { Scenario } from "./scenario.ts";

const PUSHES = 3000;
const FRESH_CHECKS = 10_000;

/** After a token is blacklisted at one replica: when do gateways' copies contain it, fed by that replica or by another? */
export function clientPushScenario(): Scenario {
  const name = `Client: ${PUSHES.toLocaleString("en")} revocations at A, seen in the copies of gateways`;
  return {
    name,
    async run({ profileFolder }, { ground, database, service }) {
      const second = await startService(ground.guard, {
        name: "pushing-replica",
        databaseUrl: database.url,
        profileFolder,
      });
      const replica = ground.closing(second);
      await replica.indexLoaded();
      const given: PushesInput = { ports: { a: service.port, b: replica.port } };
      const gateway = await startGateway(ground, {
        program: "pushes.ts",
        name: "gateway-pushes",
        given,
        profileFolder,
      });
      const { fromA, fromB } = await gateway.ask<Pushes>("push", { times: PUSHES });
      const stale = await gateway.ask<number>("stale", { times: FRESH_CHECKS });
      await gateway.close();
      await replica.close();
      const p99 = Math.max(percentile(fromA, 0.99), percentile(fromB, 0.99));
      return {
        name,
        unit: "ms from the acknowledgement",
        figures: {
          headings: ["p50", "p99", "worst"],
          rows: [
            { name: "copy fed by A", values: quantiles(fromA) },
            { name: "copy fed by B", values: quantiles(fromB) },
          ],
        },
        targets: [
          target("Client, pushes, p99 in ms", p99, { atMost: 20 }),
          target(`Client, stale answers among ${FRESH_CHECKS.toLocaleString("en")} fully fresh`, stale, {
            atMost: 0,
          }),
        ],
        skipped: [],
      };
    },
  };
}
