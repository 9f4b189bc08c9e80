import { until } from "../support/until.ts";
import { audit, auditGateway } from "./audit.ts";
import { checkHistory } from "./check-history.ts";
import { Choices } from "./choices.ts";
import type { Cluster } from "./cluster.ts";
import { now } from "./driver-clock.ts";
import { FAULTS } from "./faults/faults.ts";
import type { GatewayCounts } from "./gateway-messages.ts";
import type { Instant, Interval, Operation } from "./history.ts";
import { Keyring } from "./keyring.ts";
import type { Plan } from "./plan.ts";
import { Recorder } from "./recorder.ts";
import type { Result } from "./result.ts";
import { Stage } from "./stage.ts";
import { verdictOf } from "./verdict.ts";
import { describeViolation } from "./violation.ts";
import { Workload } from "./workload.ts";

/** The minimum for a conclusive history. */
const LEAST = { operations: 1000, answered: 300, negatives: 100, positives: 100 };
/** The same for the gateways' verdicts from copies before the end: all, and negatives. */
const LEAST_OF_COPIES = { fromCopies: 100, copyNegatives: 30 };
/** The minimum share from copies of the gateways' verdicts, cached ones excluded. */
const SHARE_FROM_COPIES = 1 / 5;
/** The minimum share of operations that begin during the fault. */
const SHARE_DURING_FAULT = 1 / 5;
const BEFORE_FAULT = 150;
const AFTER_FAULT = 350;
const PHASE_TIMEOUT_MS = 15_000;
const VIOLATIONS_SHOWN = 5;
const COMPLAINT_SHOWN = 2000;

/** Runs one history on a healthy cluster, and leaves it healthy. Never rejects because of the service. */
export async function runHistory(plan: Plan, cluster: Cluster): Promise<Result> {
  const choices = new Choices(plan.seed, "plan");
  const recorder = new Recorder();
  const keyring = new Keyring(plan.seed, () => recorder.started);
  const stage = new Stage({ cluster, choices: choices.for("fault"), recorder, keyring });
  const { replicas, gateways } = cluster;
  const problems: string[] = [];
  /** Errors that no fault explains. If another process has taken a replica's port, its responses are not the service's. */
  const accidents: string[] = [];
  const began = now();
  const fault: { from: Instant; to: Instant } = { from: began, to: began };

  const before = total(gateways.map(({ counts }) => counts));
  const workload = new Workload({ recorder, keyring, replicas, gateways, choices });
  try {
    await begun(recorder, BEFORE_FAULT);
    fault.from = now();
    stage.begin();
    await FAULTS[plan.fault](stage);
    fault.to = now();
    // Later operations show the state of the copies.
    await Promise.all(gateways.map((gateway) => gateway.ready()));
    await begun(recorder, Math.max(recorder.started + AFTER_FAULT, LEAST.operations));
  } catch (error) {
    problems.push(`the fault did not come to its end: ${(error as Error).message}`);
    await cluster.heal();
  }
  await workload.stop();
  const after = total(gateways.map(({ counts }) => counts));
  const jtis = [...keyring.all, ...stage.fillers];
  for (const replica of replicas) {
    await audit(recorder, { replica, jtis }).catch((error: Error) => problems.push(error.message));
  }
  for (const gateway of gateways) {
    await auditGateway(recorder, { gateway, jtis }).catch((error: Error) => problems.push(error.message));
  }

  for (const { index, ending } of replicas) {
    if (ending !== undefined) accidents.push(`replica ${index} ended by itself: ${ending}`);
  }
  for (const { index, output } of gateways) {
    if (output !== "") accidents.push(`gateway ${index} complained: ${output.slice(0, COMPLAINT_SHOWN)}`);
  }

  const { operations } = recorder;
  const { undoings, readOnly } = stage;
  const violations = checkHistory({ operations, undoings, readOnly });
  const counts = {
    ...count(operations, fault),
    fromCopies: after.copy - before.copy,
    copyNegatives: after.copyNegatives - before.copyNegatives,
    fromService: after.service - before.service,
    snapshots: after.snapshots - before.snapshots,
  };
  const tooLittle = shortfalls(counts, { keepsCopies: gateways.some(({ keepsCopy }) => keepsCopy) });
  const verdict = verdictOf({ violations, accidents, problems, tooLittle });
  const described = violations
    .slice(0, VIOLATIONS_SHOWN)
    .map((violation) => describeViolation(violation, began));
  return {
    ...plan,
    ...verdict,
    ...counts,
    milliseconds: now() - began,
    problems: [
      ...accidents,
      ...problems,
      ...tooLittle,
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

function total(all: readonly GatewayCounts[]): GatewayCounts {
  const sum = (figure: keyof GatewayCounts) => all.reduce((so, counts) => so + counts[figure], 0);
  return {
    copy: sum("copy"),
    copyNegatives: sum("copyNegatives"),
    service: sum("service"),
    snapshots: sum("snapshots"),
  };
}

type Counts = Omit<Result, keyof Plan | "verdict" | "onlyTooLittle" | "milliseconds" | "problems">;

function count(operations: readonly Operation[], fault: Interval) {
  const counts = {
    operations: operations.length,
    duringFault: 0,
    answered: 0,
    negatives: 0,
    positives: 0,
    byGateways: 0,
  };
  for (const operation of operations) {
    if (operation.from >= fault.from && operation.from < fault.to) counts.duringFault++;
    if (operation.answer !== undefined) counts.answered++;
    if (operation.kind !== "check") continue;
    if (operation.gateway !== undefined) counts.byGateways++;
    if (operation.answer === undefined) continue;
    for (const verdict of operation.answer.verdicts) {
      if (verdict === "not-blacklisted") counts.negatives++;
      if (verdict === "blacklisted") counts.positives++;
    }
  }
  return counts;
}

function shortfalls(counts: Counts, { keepsCopies }: { keepsCopies: boolean }): string[] {
  const least: Partial<Counts> = keepsCopies ? { ...LEAST, ...LEAST_OF_COPIES } : LEAST;
  const found = Object.entries(least)
    .filter(([name, needed]) => counts[name as keyof Counts] < needed)
    .map(([name, needed]) => `only ${counts[name as keyof Counts]} ${name}: at least ${needed} are needed`);
  if (counts.duringFault < counts.operations * SHARE_DURING_FAULT) {
    found.push(
      `only ${counts.duringFault} of ${counts.operations} operations began during the fault: at least a fifth is needed`,
    );
  }
  const { fromCopies, fromService } = counts;
  if (keepsCopies && fromCopies < (fromCopies + fromService) * SHARE_FROM_COPIES) {
    found.push(
      `gateways had only ${fromCopies} of ${fromCopies + fromService} answers from their copies: at least a fifth is needed`,
    );
  }
  return found;
}
