import { setTimeout as delay } from "node:timers/promises";
import { alternate } from "../alternate.ts";
import { check } from "../contestants/grpc.ts";
import { closedLoop } from "../load.ts";
import { target, throughputRows } from "../result.ts";
import type { Stage } from "../stage/stage.ts";
import { median } from "../statistics.ts";
import type { Scenario } from "./scenario.ts";

/** The idle time before the measurement, in which V8 gives back what it took for an earlier load. */
const IDLE_MS = 10_000;
/**
 * Single slices vary by a third on a busy machine, and slowly enough that neighbouring slices vary together: hence many short
 * slices, compared round by round.
 */
const ROUNDS_EACH = 6;
const SECONDS_EACH = 0.6;
const WARM_UP_ROUNDS = 4;
/** Load before the idle time, because a service that has been up has compiled what it runs. V8 needs seconds of load for all of it. */
const SECONDS_BEFORE = 6;

interface Case {
  readonly size: number;
  readonly callers: number;
  readonly bare: "bare" | "bareSet";
  readonly peer: string;
  readonly atLeast: number;
}

/**
 * The service, idle for a while, against a method with nothing behind it or only a Set. The peer runs twice: its difference from
 * itself is the uncertainty of the figures.
 */
function freshCheckScenario({ size, callers, bare, peer, atLeast }: Case): Scenario {
  const name = `IsBlacklisted after ${IDLE_MS / 1000} idle seconds, ${size} jti${size === 1 ? "" : "s"} a call, ${callers} callers`;
  return {
    name,
    async run({ rounds, seconds }, { service, database, ...stage }: Stage) {
      const process = stage[bare];
      const contestants = [
        check(size)("TokenBlacklist", service, [service.pid, database.pid]),
        check(size)(peer, process, [process.pid]),
        check(size)("the same once more, as a control", process, [process.pid]),
      ];
      const before = { rounds: Math.ceil(SECONDS_BEFORE / SECONDS_EACH), warmUp: 0 };
      await alternate(contestants.slice(0, 2), before, (contestant) =>
        closedLoop(contestant, { callers, seconds: SECONDS_EACH }),
      );
      await delay(IDLE_MS);
      const slices = await alternate(
        contestants,
        { rounds: rounds * ROUNDS_EACH, warmUp: WARM_UP_ROUNDS },
        (contestant) => closedLoop(contestant, { callers, seconds: seconds * SECONDS_EACH }),
      );
      const rows = throughputRows(
        contestants.map((contestant) => contestant.name),
        slices,
      );
      const [ours, first, second] = slices.map((own) => own.map((slice) => slice.calls / slice.seconds));
      // Both of the peer's slices surround ours about equally, so their mean is the better measure.
      const toPeer = median(
        (ours ?? []).map((own, round) => (2 * own) / ((first?.[round] ?? 0) + (second?.[round] ?? 0))),
      );
      return {
        name,
        unit: "calls",
        rows,
        targets: [target(`${name}, to the ${peer}`, toPeer, { atLeast })],
        skipped: [],
      };
    },
  };
}

export function freshCheckScenarios(): Scenario[] {
  return [
    freshCheckScenario({ size: 1, callers: 64, bare: "bare", peer: "bare gRPC method", atLeast: 0.9 }),
    freshCheckScenario({ size: 1, callers: 256, bare: "bare", peer: "bare gRPC method", atLeast: 0.9 }),
    freshCheckScenario({
      size: 100,
      callers: 16,
      bare: "bareSet",
      peer: "bare method and a Set",
      atLeast: 0.85,
    }),
  ];
}
