import { until } from "../support/until.ts";
import { audit } from "./audit.ts";
import { checkHistory } from "./check-history.ts";
import { Choices } from "./choices.ts";
import type { Cluster } from "./cluster.ts";
import { now } from "./driver-clock.ts";
import { FAULTS } from "./faults/faults.ts";
import type { Instant, Interval, Operation } from "./history.ts";
import { Keyring } from "./keyring.ts";
import type { Plan } from "./plan.ts";
import { Recorder } from "./recorder.ts";
import type { Result } from "./result.ts";
import { Stage } from "./stage.ts";
import { describeViolation } from "./violation.ts";
import { Workload } from "./workload.ts";

/** The least that a history proves anything with. */
const LEAST = { operations: 1000, answered: 300, negatives: 100, positives: 100 };
/** Of all operations, the least share that begins during the fault. */
const SHARE_DURING_FAULT = 1 / 5;
const BEFORE_FAULT = 150;
const AFTER_FAULT = 350;
const PHASE_TIMEOUT_MS = 15_000;
const VIOLATIONS_SHOWN = 5;

/** Plays one history on a cluster that is sound, and leaves it sound again. Never throws because of what the service does. */
export async function runHistory(plan: Plan, cluster: Cluster): Promise<Result> {
  const choices = new Choices(plan.seed, "plan");
  const recorder = new Recorder();
  const keyring = new Keyring(plan.seed, () => recorder.started);
  const stage = new Stage({ cluster, choices: choices.for("fault"), recorder, keyring });
  const { replicas } = cluster;
  const problems: string[] = [];
  const began = now();
  const fault: { from: Instant; to: Instant } = { from: began, to: began };

  const workload = new Workload({ recorder, keyring, replicas, choices });
  try {
    await begun(recorder, BEFORE_FAULT);
    fault.from = now();
    stage.begin();
    await FAULTS[plan.fault](stage);
    fault.to = now();
    await begun(recorder, Math.max(recorder.started + AFTER_FAULT, LEAST.operations));
  } catch (error) {
    problems.push(`the fault was not played to its end: ${(error as Error).message}`);
    await cluster.heal();
  }
  await workload.stop();
  const jtis = [...keyring.all, ...stage.fillers];
  for (const replica of replicas) {
    await audit(recorder, { replica, jtis }).catch((error: Error) => problems.push(error.message));
  }

  const { operations } = recorder;
  const { undoings, readOnly } = stage;
  const violations = checkHistory({ operations, undoings, readOnly });
  const counts = count(operations, fault);
  problems.push(...shortfalls(counts));
  const described = violations
    .slice(0, VIOLATIONS_SHOWN)
    .map((violation) => describeViolation(violation, began));
  return {
    ...plan,
    verdict: violations.length > 0 ? "violation" : problems.length > 0 ? "insufficient" : "ok",
    ...counts,
    milliseconds: now() - began,
    problems: [
      ...problems,
      ...described,
      ...(violations.length > described.length ? [`${violations.length} violations in all`] : []),
    ],
  };
}

function begun(recorder: Recorder, count: number): Promise<void> {
  return until(() => recorder.started >= count, {
    withinMs: PHASE_TIMEOUT_MS,
    what: `${count} operations begin`,
  });
}

type Counts = Pick<Result, "operations" | "duringFault" | "answered" | "negatives" | "positives">;

function count(operations: readonly Operation[], fault: Interval): Counts {
  const counts = { operations: operations.length, duringFault: 0, answered: 0, negatives: 0, positives: 0 };
  for (const operation of operations) {
    if (operation.from >= fault.from && operation.from < fault.to) counts.duringFault++;
    if (operation.answer !== undefined) counts.answered++;
    if (operation.kind !== "check" || operation.answer === undefined) continue;
    for (const verdict of operation.answer.verdicts) {
      if (verdict === "not-blacklisted") counts.negatives++;
      if (verdict === "blacklisted") counts.positives++;
    }
  }
  return counts;
}

function shortfalls(counts: Counts): string[] {
  const found = Object.entries(LEAST)
    .filter(([name, least]) => counts[name as keyof typeof LEAST] < least)
    .map(
      ([name, least]) => `only ${counts[name as keyof typeof LEAST]} ${name}: at least ${least} are needed`,
    );
  if (counts.duringFault < counts.operations * SHARE_DURING_FAULT) {
    found.push(
      `only ${counts.duringFault} of ${counts.operations} operations began during the fault: at least a fifth is needed`,
    );
  }
  return found;
}
