import { alternate } from "../alternate.ts";
import { check } from "../contestants/grpc.ts";
import { curveOf } from "../curve.ts";
import { LOAD_LINES, loadedSlice, loadFigures } from "../loaded.ts";
import type { CapacityScenario } from "./scenario.ts";

const SIZES = [1, 10, 100, 1000];
const CALLERS = [1, 4, 16, 64, 256];
/** V8 needs seconds of load to compile what the service runs. */
const WARM_UP_ROUNDS = 2;

/** Fully fresh checks of `size` tokens per call, by an increasing number of callers. */
function checkCapacityScenario(size: number): CapacityScenario {
  const name = `Capacity: IsBlacklisted, ${size.toLocaleString("en")} jti${size === 1 ? "" : "s"} a call`;
  const plan = { over: "callers", at: CALLERS, lines: LOAD_LINES };
  return {
    name,
    plan,
    async run({ rounds, seconds }, { service, database }) {
      const contestant = check(size)("TokenBlacklist", service, [service.pid]);
      const slices = await alternate(CALLERS, { rounds, warmUp: WARM_UP_ROUNDS }, (callers) =>
        loadedSlice(contestant, { databasePid: database.pid, callers, seconds }),
      );
      const curve = curveOf(plan, slices.map(loadFigures));
      return { name, unit: "one service, a million entries", curve, targets: [], skipped: [] };
    },
  };
}

export function checkCapacityScenarios(): CapacityScenario[] {
  return SIZES.map(checkCapacityScenario);
}
