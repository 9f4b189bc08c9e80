#!/usr/bin/env node
import { readFileSync } from "node:fs";
import { EXIT } from "./cli/errors.ts";
import { run } from "./cli/program.ts";
import {
  type Config,
  ConfigError,
  describeDatabase,
  misspelledSettings,
  readConfig,
} from "./config/config.ts";
import { describeMisspelling } from "./config/misspellings.ts";
import { formatHostPort } from "./connections/host-port.ts";
import { SchemaError, ServiceError, StartError } from "./errors.ts";
import { LogOutput } from "./logging/log-output.ts";
import type { MigrateAction } from "./start/migrate.ts";
import { databaseAdvice } from "./store/mysql-errors.ts";
import { escapeLine } from "./text/terminal-text.ts";
import { systemClock } from "./time/clock.ts";

/** How long the process waits for its last log lines to be written before it ends. */
const LOG_FLUSH_MS = 1000;

// The only file that uses the process: arguments, environment, streams, signals and the exit code. It imports the service and its
// databases lazily, so that `check` starts without them.

async function serve(): Promise<number> {
  return withConfig(async (config) => {
    const [{ createLogger }, { start }] = await Promise.all([
      import("./logging/logger.ts"),
      import("./start/service.ts"),
    ]);
    const output = new LogOutput({ fd: nonBlockingStdout(), clock: systemClock });
    process.once("exit", () => output.flushNow());
    const log = createLogger(config.logLevel, output);
    for (const misspelling of misspelledSettings(process.env)) {
      log.warn(misspelling, "a variable that looks like a setting is not read");
    }
    const stopped = new Promise<NodeJS.Signals>((resolve) => {
      for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, resolve);
    });
    const build = { version: version(), node: process.version };
    const service = await start(config, { log, output, build });
    log.info(
      {
        address: formatHostPort(service.address),
        admin: formatHostPort(service.adminAddress),
        ...(service.authzAddress && { authz: formatHostPort(service.authzAddress) }),
        version: build.version,
        node: build.node,
        ...describeDatabase(config.database),
      },
      "listening",
    );
    const signal = await stopped;
    log.info({ signal }, "stopping: completing the accepted calls");
    const overdue = setTimeout(() => {
      log.error("shutdown timed out: ending the process");
      void output.flush(config.shutdownGraceMs * 0.03).then(() => process.exit(0));
    }, config.shutdownGraceMs * 0.95);
    await service.close();
    // From now on the timer no longer keeps the process alive. If something else does, the timer ends the process.
    overdue.unref();
    log.info("stopped");
    await output.flush(LOG_FLUSH_MS);
    return EXIT.ok;
  });
}

/** The file descriptor of standard output. Makes both standard streams non-blocking, because the service must not wait for their readers. */
function nonBlockingStdout(): number {
  const [out] = [process.stdout, process.stderr].map((stream) => {
    const handle = (stream as { _handle?: { fd?: number; setBlocking?(wanted: boolean): unknown } })._handle;
    handle?.setBlocking?.(false);
    return handle;
  });
  // Node.js reopens a terminal under another descriptor, and only that descriptor is non-blocking.
  return out?.setBlocking === undefined ? 1 : (out.fd ?? 1);
}

/** Runs {@link serve}. After a failed start the process ends even if nothing reads its output. */
async function serveAndEnd(): Promise<number> {
  const code = await serve();
  if (code !== EXIT.ok) setTimeout(() => process.exit(), LOG_FLUSH_MS).unref();
  return code;
}

async function runMigration(action: MigrateAction): Promise<number> {
  return withConfig(async ({ database }) => {
    for (const misspelling of misspelledSettings(process.env)) {
      process.stderr.write(`warning: ${describeMisspelling(misspelling)}\n`);
    }
    const { migrate } = await import("./start/migrate.ts");
    const isUsableSchema = await migrate(action, database, (line) => process.stdout.write(`${line}\n`));
    return isUsableSchema ? EXIT.ok : EXIT.found;
  });
}

/** Runs `work` with the configuration. Writes errors that an operator can correct as plain lines, and rethrows all other errors. */
async function withConfig(work: (config: Config) => Promise<number>): Promise<number> {
  try {
    return await work(readConfig(process.env));
  } catch (error) {
    if (error instanceof ConfigError) {
      const lines = [...error.problems, ...misspelledSettings(process.env).map(describeMisspelling)];
      process.stderr.write(
        `token-blacklist: invalid configuration:\n${lines.map((line) => `  ${escapeLine(line)}\n`).join("")}`,
      );
      return EXIT.usage;
    }
    if (!(error instanceof StartError || error instanceof SchemaError || error instanceof ServiceError))
      throw error;
    const { cause } = error;
    const advice = databaseAdvice(cause);
    const detail =
      error instanceof ServiceError && cause instanceof Error
        ? `: ${cause.message}${advice === undefined ? "" : `; ${advice}`}`
        : "";
    process.stderr.write(`token-blacklist: ${escapeLine(error.message + detail)}\n`);
    return error instanceof ServiceError ? EXIT.unavailable : EXIT.failed;
  }
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
  serve: serveAndEnd,
  migrate: runMigration,
});
