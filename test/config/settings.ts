import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Config, type ConfigError, readConfig } from "../../src/config/config.ts";
import { thrownBy } from "../support/rejection.ts";
import { freshFolder } from "../support/shared.ts";

/** The configuration of an empty environment. */
export const DEFAULTS: Config = {
  database: { kind: "sqlite", filename: "./data/token-blacklist.db" },
  listenAddress: { host: "127.0.0.1", port: 50051 },
  adminAddress: { host: "127.0.0.1", port: 9464 },
  expiryLeewayMs: 5 * 60_000,
  pruneIntervalMs: 3_600_000,
  pruneRetentionMs: 0,
  shutdownGraceMs: 30_000,
  index: true,
  indexMaxEntries: 20_000_000,
  logLevel: "info",
  security: {
    bearers: undefined,
    tls: undefined,
    certificateRoles: undefined,
    certificateRolesFile: undefined,
    insecure: false,
    reflection: true,
    tokenIssuers: [],
    tokenAlgorithms: ["RS256", "PS256", "ES256", "EdDSA", "Ed25519"],
    maxTokenLifetimeMs: 0,
    auditLog: true,
    quota: { rowsPerSecond: 0, rows: undefined },
    streamsPerCaller: 2000,
  },
  authz: {
    extAuthz: false,
    address: undefined,
    jtiHeader: undefined,
    methodHeader: undefined,
    unverifiedBearer: false,
    missingJti: "deny",
    preflight: "deny",
    maxStalenessMs: 0,
    insecure: false,
  },
  connections: { total: undefined, perAddress: undefined },
};

/** A secret that no message may repeat. */
export const CANARY = "c4n4ry";

/** The problems of an invalid environment. */
export function problemsOf(env: Record<string, string>): readonly string[] {
  return (thrownBy(() => readConfig(env)) as ConfigError).problems;
}

/** The path of a new file with this content. */
export async function writtenFile(text: string): Promise<string> {
  const file = join(await freshFolder(), "file");
  await writeFile(file, text);
  return file;
}
