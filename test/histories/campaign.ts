import { Cluster } from "./cluster.ts";
import type { Options } from "./options.ts";
import { type Plan, planOf } from "./plan.ts";
import type { Result } from "./result.ts";
import { runHistory } from "./run-history.ts";

export function plansOf({
  seeds,
  faults,
  binaryLog,
}: Pick<Options, "seeds" | "faults" | "binaryLog">): Plan[] {
  const plans: Plan[] = [];
  for (let seed = seeds.from; seed <= seeds.to; seed++) plans.push(planOf(seed, { faults, binaryLog }));
  return plans;
}

/**
 * Runs all `plans` on two concurrent clusters, one with a binary log and one without, as needed, and reports each
 * result as it arrives. A cluster that did not recover is replaced. Stops early, with every process that it
 * started, when `signal` is aborted.
 */
export async function runCampaign(
  plans: readonly Plan[],
  {
    index,
    signal,
    onResult,
  }: { index: "on" | "off" | undefined; signal: AbortSignal; onResult: (result: Result) => void },
): Promise<void> {
  const lanes = [false, true].map((binaryLog) => plans.filter((plan) => plan.binaryLog === binaryLog));
  const ended = await Promise.allSettled(lanes.map((lane) => runLane(lane, { index, signal, onResult })));
  for (const lane of ended) if (lane.status === "rejected") throw lane.reason;
}

async function runLane(
  plans: readonly Plan[],
  {
    index,
    signal,
    onResult,
  }: { index: "on" | "off" | undefined; signal: AbortSignal; onResult: (result: Result) => void },
): Promise<void> {
  let cluster: Cluster | undefined;
  try {
    for (const plan of plans) {
      if (signal.aborted) return;
      cluster ??= await Cluster.start({ binaryLog: plan.binaryLog, index });
      const result = await runHistory(plan, cluster);
      onResult(result);
      if (result.verdict !== "insufficient") continue;
      await cluster.stop();
      cluster = undefined;
    }
  } finally {
    await cluster?.stop();
  }
}
