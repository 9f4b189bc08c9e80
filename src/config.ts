import { readFileSync } from "node:fs";
import { parseDuration } from "./duration.ts";
import { type HostPort, parseHostPort } from "./host-port.ts";
import { type DatabaseAddress, parseDatabaseUrl } from "./store/database-url.ts";

/** What an operator may decide. Comes from the environment alone; times are in milliseconds. */
export interface Config {
  readonly database: DatabaseAddress;
  readonly listenAddress: HostPort;
  readonly adminAddress: HostPort;
  readonly expiryLeewayMs: number;
  /** 0: never. */
  readonly pruneIntervalMs: number;
  readonly pruneRetentionMs: number;
  readonly shutdownGraceMs: number;
  /** Whether checks are answered from memory. */
  readonly index: boolean;
  readonly indexMaxEntries: number;
  readonly logLevel: LogLevel;
}

const LOG_LEVELS = ["fatal", "error", "warn", "info", "debug", "trace", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

type Environment = Readonly<Record<string, string | undefined>>;

/** Everything that is wrong with the environment, one problem a line. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join("\n"));
    this.problems = problems;
  }
}

/** Reads the configuration. Throws ConfigError, which never repeats a secret, with every problem at once. */
export function readConfig(env: Environment): Config {
  const problems: string[] = [];

  /** The variable read by `parse`; empty counts as absent. */
  function read<T>(name: string, fallback: string, parse: (text: string) => T): T {
    try {
      return parse(lookUp(env, name) ?? fallback);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      problems.push(`${name} ${error.message}`);
      // Never seen: a problem means that no Config is returned.
      return undefined as T;
    }
  }

  const config: Config = {
    database: read("DATABASE_URL", "sqlite:./data/token-blacklist.db", parseDatabaseUrl),
    listenAddress: read("LISTEN_ADDRESS", "127.0.0.1:50051", parseHostPort),
    adminAddress: read("ADMIN_ADDRESS", "127.0.0.1:9464", parseHostPort),
    expiryLeewayMs: read("EXPIRY_LEEWAY", "5m", between("0", "30d")),
    pruneIntervalMs: read("PRUNE_INTERVAL", "1h", (text) =>
      parseDuration(text) === 0 ? 0 : between("1s", "20d")(text),
    ),
    pruneRetentionMs: read("PRUNE_RETENTION", "0", between("0", "36500d")),
    shutdownGraceMs: read("SHUTDOWN_GRACE", "30s", between("1s", "1h")),
    index: read("INDEX", "on", onOrOff),
    indexMaxEntries: read("INDEX_MAX_ENTRIES", "20000000", wholeNumber(1, 1_000_000_000)),
    logLevel: read("LOG_LEVEL", "info", logLevel),
  };
  if (problems.length > 0) throw new ConfigError(problems);
  return Object.freeze(config);
}

/** The variable, or the content of the file that `NAME_FILE` names, so that secrets need not stand in the environment. */
function lookUp(env: Environment, name: string): string | undefined {
  const value = env[name] || undefined;
  const file = env[`${name}_FILE`] || undefined;
  if (file === undefined) return value;
  if (value !== undefined) throw new RangeError(`and ${name}_FILE are both set: choose one`);
  try {
    return readFileSync(file, "utf8").replace(/\r?\n$/, "");
  } catch (error) {
    throw new RangeError(
      `cannot be read from the file that ${name}_FILE names (${(error as NodeJS.ErrnoException).code})`,
    );
  }
}

function between(least: string, most: string): (text: string) => number {
  return (text) => {
    const ms = parseDuration(text);
    if (ms < parseDuration(least) || ms > parseDuration(most)) {
      throw new RangeError(`must be between ${least} and ${most}`);
    }
    return ms;
  };
}

function onOrOff(text: string): boolean {
  if (text !== "on" && text !== "off") throw new RangeError("must be on or off");
  return text === "on";
}

function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= least && value <= most)) {
      throw new RangeError(`must be a whole number between ${least} and ${most}`);
    }
    return value;
  };
}

function logLevel(text: string): LogLevel {
  const level = LOG_LEVELS.find((known) => known === text);
  if (level === undefined) throw new RangeError(`must be one of ${LOG_LEVELS.join(", ")}`);
  return level;
}
