import { alternate } from "../alternate.ts";
import { check } from "../contestants/grpc.ts";
import { closedLoop, type Slice } from "../load.ts";
import { target, throughputRows } from "../result.ts";
import { startService } from "../stage/service.ts";
import { median } from "../statistics.ts";
import { withTokens } from "./protected-checks.ts";
import type { Scenario } from "./scenario.ts";

const CALLERS = 64;
/** Pairs of processes, one after the other: two processes of the same build differ by some 5 %, each for as long as it lives. */
const PAIRS = 3;
/** Many short slices, compared round by round: see `fresh-checks.ts`. */
const ROUNDS_EACH = 2;
const SECONDS_EACH = 0.6;
const WARM_UP_ROUNDS = 6;

/** Checks of `size` jtis by callers with bearer tokens, compared with the build whose `dist/main.js` is `against`. */
export function buildScenario({ against, size }: { against: string; size: number }): Scenario {
  const name = `IsBlacklisted, jtis a call: ${size}, ${CALLERS} callers with bearer tokens, two builds`;
  return {
    name,
    async run({ rounds, seconds }, { ground, database }) {
      const { guard, closing } = ground;
      const protection = await withTokens(guard.folder);
      const start = async (serviceName: string, main?: string) => {
        const setup = { name: serviceName, databaseUrl: database.url, ...protection };
        const service = closing(await startService(guard, main === undefined ? setup : { ...setup, main }));
        await service.indexLoaded();
        return service;
      };
      const names = ["this build", "the other build"];
      const slices: Slice[][] = [[], []];
      for (let pair = 0; pair < PAIRS; pair++) {
        const services = [
          await start(`this-${size}-${pair}`),
          await start(`other-${size}-${pair}`, against),
        ] as const;
        const contestants = services.map((service, index) =>
          check(size)(names[index] as string, service, [service.pid]),
        );
        const ofPair = await alternate(
          contestants,
          { rounds: rounds * ROUNDS_EACH, warmUp: WARM_UP_ROUNDS },
          (contestant) => closedLoop(contestant, { callers: CALLERS, seconds: seconds * SECONDS_EACH }),
        );
        for (const [index, results] of ofPair.entries()) slices[index]?.push(...results);
        for (const service of services) await service.close();
      }
      const rows = throughputRows(names, slices);
      const [own = [], other = []] = slices.map((all) => all.map((slice) => slice.calls / slice.seconds));
      const ratio = median(own.map((rate, round) => rate / (other[round] as number)));
      return {
        name,
        unit: "calls",
        rows,
        targets: [target("throughput, to that of the other build", ratio, { atLeast: 0.97 })],
        skipped: [],
      };
    },
  };
}
