import { describeMachine } from "./machine.ts";
import { type Options, readOptions, USAGE } from "./options.ts";
import { formatReport, type Report } from "./report.ts";
import type { ScenarioResult } from "./result.ts";
import { buildScenario } from "./scenarios/builds.ts";
import { bulkScenario } from "./scenarios/bulk.ts";
import { capacityAlone, capacityOnStage } from "./scenarios/capacity.ts";
import { checkScenarios } from "./scenarios/checks.ts";
import { clientCheckScenario } from "./scenarios/client-checks.ts";
import { clientCopyScenario } from "./scenarios/client-copy.ts";
import { clientPushScenario } from "./scenarios/client-pushes.ts";
import { clientWatcherScenario } from "./scenarios/client-watchers.ts";
import { coldStartScenario, largeColdStartScenario } from "./scenarios/cold-start.ts";
import { commitScenario } from "./scenarios/commit.ts";
import { databaseReadsScenario } from "./scenarios/database-reads.ts";
import { freshCheckScenarios } from "./scenarios/fresh-checks.ts";
import { growthScenario } from "./scenarios/index-growth.ts";
import { lookUpScenarios } from "./scenarios/index-look-ups.ts";
import { propagationScenario } from "./scenarios/propagation.ts";
import { protectedCheckScenario } from "./scenarios/protected-checks.ts";
import { pruneScenarios } from "./scenarios/pruning.ts";
import { revocationScenarios } from "./scenarios/revocations.ts";
import type { Scenario } from "./scenarios/scenario.ts";
import { tracedCheckScenario } from "./scenarios/traced-checks.ts";
import { type Ground, openGround } from "./stage/ground.ts";
import { redisVersion } from "./stage/redis.ts";
import { openStage } from "./stage/stage.ts";

let interrupted = false;
const closers: (() => Promise<void>)[] = [];

async function unwind(): Promise<void> {
  for (let close = closers.pop(); close !== undefined; close = closers.pop()) await close();
}

/** Scenarios that run before the stage is set, because nothing else may use the machine. */
function scenariosAlone({ large }: Options): Scenario<Ground>[] {
  return [
    ...lookUpScenarios(),
    growthScenario(),
    ...capacityAlone({ large }),
    ...(large ? [largeColdStartScenario(), bulkScenario()] : []),
  ];
}

/** Scenarios that need an idle service come first, those that grow the table last. */
function scenariosOnStage(): Scenario[] {
  return [
    ...freshCheckScenarios(),
    databaseReadsScenario(),
    protectedCheckScenario(),
    tracedCheckScenario(),
    ...checkScenarios(),
    clientCheckScenario(),
    clientCopyScenario(),
    clientPushScenario(),
    clientWatcherScenario(),
    coldStartScenario(),
    propagationScenario(),
    ...pruneScenarios(),
    ...capacityOnStage(),
    ...revocationScenarios(),
    commitScenario(),
  ];
}

async function bench(options: Options): Promise<Report> {
  const { against } = options;
  const all =
    against === undefined
      ? { alone: scenariosAlone(options), onStage: scenariosOnStage() }
      : { alone: [], onStage: [1, 100].map((size) => buildScenario({ against, size })) };
  const alone = all.alone.filter(({ name }) => name.includes(options.only));
  const onStage = all.onStage.filter(({ name }) => name.includes(options.only));
  if (alone.length + onStage.length === 0) {
    throw new RangeError(`no scenario's name contains "${options.only}"`);
  }
  const ground = await openGround(closers);
  const results = await runAll(alone, options, ground);
  let mariadb: string | undefined;
  if (onStage.length > 0) {
    say("starting and filling MariaDB, Redis, the service and its bare peers");
    const stage = await openStage(ground, options);
    results.push(...(await runAll(onStage, options, stage)));
    mariadb = await stage.database.version();
  }
  return {
    machine: describeMachine({ mariadb, redis: redisVersion() }),
    options: { rounds: options.rounds, seconds: options.seconds },
    scenarios: results,
  };
}

async function runAll<N>(
  scenarios: readonly Scenario<N>[],
  options: Options,
  needs: N,
): Promise<ScenarioResult[]> {
  const results: ScenarioResult[] = [];
  for (const scenario of scenarios) {
    say(scenario.name);
    results.push(await scenario.run(options, needs));
  }
  return results;
}

function say(line: string): void {
  process.stderr.write(`bench, ${Math.round(performance.now() / 1000)} s: ${line}\n`);
}

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    interrupted = true;
    void unwind().finally(() => process.exit(signal === "SIGINT" ? 130 : 143));
  });
}

/** The options, or undefined after reporting what is wrong with them. */
function options(): Options | undefined {
  try {
    return readOptions(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n${USAGE}`);
    process.exitCode = 2;
    return undefined;
  }
}

const chosen = options();
if (chosen !== undefined) {
  try {
    const report = await bench(chosen);
    process.stdout.write(chosen.json ? `${JSON.stringify(report, undefined, 2)}\n` : formatReport(report));
  } catch (error) {
    // Work in flight fails when its servers are ended; the signal's own handler ends the process.
    if (!interrupted) throw error;
  } finally {
    await unwind();
  }
}
