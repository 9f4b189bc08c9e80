import { formatHostPort, type HostPort, isLoopback, parseHostPort } from "../connections/host-port.ts";
import { type DatabaseAddress, parseDatabaseUrl } from "../store/database-url.ts";
import { parseDuration } from "../time/duration.ts";
import { certificatesOf } from "../tls/certificates.ts";
import { type Authz, readAuthz } from "./authz.ts";
import { between, type Environment, EnvironmentReader, oneOf, onOrOff, wholeNumber } from "./environment.ts";
import { type Misspelling, misspellings } from "./misspellings.ts";
import { readSecurity, type Security } from "./security.ts";

/** The settings of the service, as docs/operations.md describes them. They come only from the environment. */
export interface Config {
  readonly database: DatabaseAddress;
  readonly listenAddress: HostPort;
  readonly adminAddress: HostPort;
  /** How long after its expiry an entry stays effective. */
  readonly expiryLeewayMs: number;
  /** 0: the service never prunes by itself. */
  readonly pruneIntervalMs: number;
  /** How long an entry that is no longer effective is kept before it is pruned. */
  readonly pruneRetentionMs: number;
  /** How long stopping may take after SIGTERM, calls in flight included. */
  readonly shutdownGraceMs: number;
  /** Whether checks are answered from the index in memory. */
  readonly index: boolean;
  readonly indexMaxEntries: number;
  readonly logLevel: LogLevel;
  readonly security: Security;
  /** How proxies ask whether a request may pass: by Envoy's `Check` on LISTEN_ADDRESS, or by HTTP at AUTHZ_ADDRESS. */
  readonly authz: Authz;
  readonly connections: ConnectionBounds;
}

/** Bounds on connections to LISTEN_ADDRESS. */
export interface ConnectionBounds {
  /** Undefined: as many as the file descriptors allow. */
  readonly total: number | undefined;
  /** Per remote address. Undefined: half of all. */
  readonly perAddress: number | undefined;
}

const LOG_LEVELS = ["fatal", "error", "warn", "info", "debug", "trace", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** The environment is invalid. The message has one problem per line. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join("\n"));
    this.problems = problems;
  }
}

/** Reads the configuration. Throws a ConfigError with all problems, which repeats no secret. */
export function readConfig(env: Environment): Config {
  const from = new EnvironmentReader(env);
  const config = readSettings(from);
  if (from.problems.length > 0) throw new ConfigError(from.problems);
  return Object.freeze(config);
}

/** Variables of `env` that look like settings but are not read, each with the setting that was probably meant. */
export function misspelledSettings(env: Environment): Misspelling[] {
  const from = new EnvironmentReader({});
  readSettings(from);
  return misspellings(env, from.lookedUp);
}

function readSettings(from: EnvironmentReader): Config {
  const database = readDatabase(from);
  const listenAddress = from.read("LISTEN_ADDRESS", "127.0.0.1:50051", parseHostPort);
  const insecure = from.read("INSECURE", "no", oneOf("yes", "no")) === "yes";
  return {
    database,
    listenAddress,
    adminAddress: from.read("ADMIN_ADDRESS", "127.0.0.1:9464", parseHostPort),
    expiryLeewayMs: from.read("EXPIRY_LEEWAY", "5m", between("0", "30d")),
    pruneIntervalMs: from.read("PRUNE_INTERVAL", "1h", (text) =>
      parseDuration(text) === 0 ? 0 : between("1s", "20d")(text),
    ),
    pruneRetentionMs: from.read("PRUNE_RETENTION", "0", between("0", "36500d")),
    shutdownGraceMs: from.read("SHUTDOWN_GRACE", "30s", between("1s", "1h")),
    index: from.read("INDEX", "on", onOrOff),
    indexMaxEntries: from.read("INDEX_MAX_ENTRIES", "20000000", wholeNumber(1, 1_000_000_000)),
    logLevel: from.read("LOG_LEVEL", "info", oneOf(...LOG_LEVELS)),
    security: readSecurity(from, { listenAddress, insecure }),
    authz: readAuthz(from, { insecure }),
    connections: {
      total: from.optional("MAX_CONNECTIONS", wholeNumber(1, 1_000_000)),
      perAddress: from.optional("MAX_CONNECTIONS_PER_ADDRESS", wholeNumber(1, 1_000_000)),
    },
  };
}

/** Reads the database's address. A connection to another machine is encrypted unless DATABASE_TLS=off. */
function readDatabase(from: EnvironmentReader): DatabaseAddress {
  const database = from.read("DATABASE_URL", "sqlite:./data/token-blacklist.db", parseDatabaseUrl);
  const tlsSetting = from.optional("DATABASE_TLS", onOrOff);
  const ca = from.file("DATABASE_CA_FILE")?.content;
  try {
    if (ca !== undefined) certificatesOf(ca, "DATABASE_CA_FILE");
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    from.addProblem(error.message);
  }
  // `database` is undefined at run time if its value is invalid.
  if (database?.kind !== "mysql") return database;
  if (tlsSetting === false && ca !== undefined) from.addProblem("DATABASE_CA_FILE needs DATABASE_TLS=on");
  const usesTls = tlsSetting ?? (ca !== undefined || !isLoopback(database.host));
  return usesTls ? { ...database, tls: ca === undefined ? {} : { ca } } : database;
}

/** The database's address for the log, without user name and password. */
export function describeDatabase(address: DatabaseAddress): Readonly<Record<string, string>> {
  if (address.kind === "sqlite") return { database: address.kind, file: address.filename };
  const { kind, host, port, database } = address;
  return { database: kind, host: formatHostPort({ host, port }), schema: database };
}
