import { alternate } from "../alternate.ts";
import { revoke } from "../contestants/grpc.ts";
import { curveOf } from "../curve.ts";
import { LOAD_LINES, type LoadedSlice, loadedSlice, loadFigures } from "../loaded.ts";
import type { Written } from "../stage/database.ts";
import { median } from "../statistics.ts";
import type { CapacityScenario } from "./scenario.ts";

/** With a thousand tokens per call, 128 callers would exceed the service's queue. */
const SIZES = [1, 10, 100];
const CALLERS = [1, 16, 128];

const LINES = [
  ...LOAD_LINES,
  { name: "tokens", unit: "1/s" },
  { name: "commits", unit: "1/s" },
  { name: "redo log", unit: "bytes a token" },
];

type WrittenSlice = LoadedSlice & Written;

/** New revocations of `size` tokens per call, by an increasing number of callers. */
function revocationCapacityScenario(size: number): CapacityScenario {
  const name = `Capacity: Blacklist, ${size} token${size === 1 ? "" : "s"} a call`;
  const plan = { over: "callers", at: CALLERS, lines: LINES };
  return {
    name,
    plan,
    async run({ rounds, seconds }, { service, database }) {
      const contestant = revoke(size)("TokenBlacklist", service, [service.pid]);
      const slices = await alternate(
        CALLERS,
        { rounds, warmUp: 1 },
        async (callers): Promise<WrittenSlice> => {
          const before = await database.written();
          const slice = await loadedSlice(contestant, { databasePid: database.pid, callers, seconds });
          const after = await database.written();
          return {
            ...slice,
            commits: after.commits - before.commits,
            logBytes: after.logBytes - before.logBytes,
          };
        },
      );
      const curve = curveOf(
        plan,
        slices.map((own) => [
          ...loadFigures(own),
          median(own.map((slice) => (slice.calls * size) / slice.seconds)),
          median(own.map((slice) => slice.commits / slice.seconds)),
          median(own.map((slice) => slice.logBytes / (slice.calls * size))),
        ]),
      );
      return { name, unit: "one service, every commit flushed", curve, targets: [], skipped: [] };
    },
  };
}

export function revocationCapacityScenarios(): CapacityScenario[] {
  return SIZES.map(revocationCapacityScenario);
}
