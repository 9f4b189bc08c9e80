import { alternate } from "../alternate.ts";
import type { Contestant } from "../contestant.ts";
import type { CurvePlan } from "../curve.ts";
import { closedLoop } from "../load.ts";
import type { Options } from "../options.ts";
import type { ScenarioResult } from "../result.ts";
import { type Row, throughputRows } from "../result.ts";
import type { Stage } from "../stage/stage.ts";

/** One measurement. `Needs` is what must be there beforehand. */
export interface Scenario<Needs = Stage> {
  readonly name: string;
  run(options: Options, needs: Needs): Promise<ScenarioResult>;
}

/** Measures a curve whose axes and lines are known beforehand. */
export interface CapacityScenario<Needs = Stage> extends Scenario<Needs> {
  readonly plan: CurvePlan;
}

/** Slices in which V8 compiles what it will run. */
const WARM_UP_ROUNDS = 2;

/** Closed loops of `callers` against each contestant in turn; the first is ours. */
export async function compare(
  contestants: readonly Contestant[],
  { callers, rounds, seconds }: { callers: number; rounds: number; seconds: number },
): Promise<Row[]> {
  const slices = await alternate(contestants, { rounds, warmUp: WARM_UP_ROUNDS }, (contestant) =>
    closedLoop(contestant, { callers, seconds }),
  );
  return throughputRows(
    contestants.map(({ name }) => name),
    slices,
  );
}

export const NO_REDIS = "Redis, which is not installed";
