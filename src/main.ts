#!/usr/bin/env node
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { Worker } from "node:worker_threads";
import { EXIT } from "./cli/exit-code.ts";
import { run } from "./cli/program.ts";
import { systemClock } from "./clock.ts";
import { type Config, ConfigError, readConfig } from "./config.ts";
import { type Failure, failureOf } from "./failure.ts";
import type { MigrateAction } from "./migrate.ts";
import type { ServiceThreadEnd } from "./service-thread.ts";

/** Some hundred milliseconds' worth of calls: most have been answered by the time it is full. */
const SEMI_SPACE_MB = 32;

// The only file that touches the process: arguments, environment, streams, signals and the exit code. The service and
// its databases are loaded when they are asked for: an operator's `check` should not wait for them.

/**
 * Runs the service in a thread of its own, since only a thread can be given a larger young generation than the process was
 * started with: calls that wait for a read would otherwise survive most collections and be copied again and again.
 */
async function serve(): Promise<number> {
  return withConfig(async (config) => {
    setFlagsFromString(`--min-semi-space-size=${SEMI_SPACE_MB}`);
    setFlagsFromString(`--max-semi-space-size=${SEMI_SPACE_MB}`);
    const thread = new Worker(new URL("service-thread.js", import.meta.url), { workerData: config });
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      process.once(signal, () => thread.postMessage(signal));
    }
    const [{ failure, overdue }] = (await once(thread, "message")) as [ServiceThreadEnd];
    if (overdue) await thread.terminate();
    return failure === undefined ? EXIT.ok : tell(failure);
  });
}

async function runMigration(action: MigrateAction): Promise<number> {
  return withConfig(async ({ database }) => {
    const { migrate } = await import("./migrate.ts");
    const fine = await migrate(action, database, (line) => process.stdout.write(`${line}\n`));
    return fine ? EXIT.ok : EXIT.found;
  });
}

/** Runs `work`, and turns what an operator can mend into lines they can read. */
async function withConfig(work: (config: Config) => Promise<number>): Promise<number> {
  try {
    return await work(readConfig(process.env));
  } catch (error) {
    if (error instanceof ConfigError) {
      process.stderr.write(
        `token-blacklist: the configuration is wrong:\n${error.problems.map((line) => `  ${line}\n`).join("")}`,
      );
      return EXIT.usage;
    }
    const failure = failureOf(error);
    if (failure === undefined) throw error;
    return tell(failure);
  }
}

function tell({ text, unavailable }: Failure): number {
  process.stderr.write(`token-blacklist: ${text}\n`);
  return unavailable ? EXIT.unavailable : EXIT.failed;
}

function version(): string {
  const text = readFileSync(new URL("../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}

const interrupted = new AbortController();
process.once("SIGINT", () => interrupted.abort());

process.exitCode = await run(process.argv.slice(2), {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  signal: interrupted.signal,
  clock: systemClock,
  version: version(),
  serve,
  migrate: runMigration,
});
