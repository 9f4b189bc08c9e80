import { describeMachine } from "./machine.ts";
import { type Options, readOptions, USAGE } from "./options.ts";
import { formatReport, type Report } from "./report.ts";
import type { ScenarioResult } from "./result.ts";
import { checkScenarios } from "./scenarios/checks.ts";
import { commitScenario } from "./scenarios/commit.ts";
import { pruneScenarios } from "./scenarios/pruning.ts";
import { revocationScenarios } from "./scenarios/revocations.ts";
import type { Scenario } from "./scenarios/scenario.ts";
import { openStage, type Stage } from "./stage/stage.ts";

let interrupted = false;
const closers: (() => Promise<void>)[] = [];

async function unwind(): Promise<void> {
  for (let close = closers.pop(); close !== undefined; close = closers.pop()) await close();
}

/** Those that grow the table come last. */
function scenarios(stage: Stage): Scenario[] {
  return [
    ...checkScenarios(stage),
    ...pruneScenarios(stage),
    ...revocationScenarios(stage),
    commitScenario(stage),
  ];
}

async function bench(options: Options): Promise<Report> {
  say("starting MariaDB, Redis, the service and its bare peer");
  const stage = await openStage(closers, options);
  const results: ScenarioResult[] = [];
  for (const scenario of scenarios(stage)) {
    if (!scenario.name.includes(options.only)) continue;
    say(scenario.name);
    results.push(await scenario.run(options));
  }
  if (results.length === 0) throw new RangeError(`no scenario's name contains "${options.only}"`);
  const machine = describeMachine({ mariadb: await stage.database.version(), redis: stage.redis?.version });
  return { machine, options: { rounds: options.rounds, seconds: options.seconds }, scenarios: results };
}

function say(line: string): void {
  process.stderr.write(`bench: ${line}\n`);
}

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    interrupted = true;
    void unwind().finally(() => process.exit(signal === "SIGINT" ? 130 : 143));
  });
}

/** The options, or undefined after saying what is wrong with them. */
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
    // Whatever was under way fails when its servers are ended, and the signal's own handler ends the process.
    if (!interrupted) throw error;
  } finally {
    await unwind();
  }
}
